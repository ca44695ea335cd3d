/** A step after which the job's steps know no proxy: programs have to go without one. */
const VARIABLES = ['http_proxy', 'https_proxy', 'all_proxy', 'no_proxy'];

export const FORGET_PROXY = `      - name: forget the proxy
        run: |
          echo 'unset ${VARIABLES.flatMap((name) => [name, name.toUpperCase()]).join(' ')}' > "$HOME/without"
          echo "BASH_ENV=$HOME/without" >> "$GITHUB_ENV"
`;
