/**
 * What a shell loads to complete `onejob`. Each script only carries the words that are typed to
 * `onejob complete` and its answer back to the shell: a first line `files` or `none` (whether names
 * of files fit, too), then a candidate a line, with its description behind a tab.
 *
 * The program is called by its path and not by its name: the name may be an alias.
 */
export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

/** @param program the words that start this program */
export function completionScript(shell: Shell, program: readonly string[]): string {
  return SCRIPTS[shell](program.map(shell === 'fish' ? quotedForFish : quotedForShell).join(' '));
}

const quotedForShell = (word: string): string => `'${word.replaceAll("'", String.raw`'\''`)}'`;
const quotedForFish = (word: string): string => `'${word.replaceAll(/['\\]/g, String.raw`\$&`)}'`;

const SCRIPTS: Record<Shell, (program: string) => string> = {
  // Bash cuts words at = and :, and replaces only what comes after the last of them.
  bash: (program) => `# bash completion of onejob. In ~/.bashrc: eval "$(onejob completion bash)"
_onejob() {
  local line=\${COMP_LINE:0:COMP_POINT} words=() answer kind='' value cut=''
  read -ra words <<< "$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  local current=\${words[\${#words[@]}-1]}
  answer=$(${program} complete -- "\${words[@]:1}" 2>/dev/null) || return 0
  [[ $current == *[=:]* ]] && cut=\${current%"\${current##*[=:]}"}
  [[ $COMP_WORDBREAKS == *:* ]] || cut=''
  COMPREPLY=()
  while IFS=$'\\t' read -r value _; do
    if [[ -z $kind ]]; then kind=$value; continue; fi
    printf -v value %q "\${value#"$cut"}"
    COMPREPLY+=("$value")
  done <<< "$answer"
  if [[ $kind == files ]]; then
    compopt -o filenames 2>/dev/null
    while IFS= read -r value; do COMPREPLY+=("$value"); done < <(compgen -f -- "\${current##*=}")
  fi
}
complete -F _onejob onejob
`,
  zsh: (program) => `#compdef onejob
# zsh completion of onejob. In ~/.zshrc, after compinit: eval "$(onejob completion zsh)"
_onejob() {
  local -a lines described
  local line
  lines=("\${(@f)$(${program} complete -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  for line in "\${(@)lines[2,-1]}"; do
    described+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done
  (( $#described )) && _describe onejob described
  [[ $lines[1] == files ]] && _files
}
compdef _onejob onejob
`,
  fish: (program) => `# fish completion of onejob. In config.fish: onejob completion fish | source
function __onejob_complete
  set -l words (commandline -opc)
  set -l current (commandline -ct)
  set -l lines (${program} complete -- $words[2..-1] "$current" 2>/dev/null)
  test "$lines[1]" = files; and __fish_complete_path "$current"
  test (count $lines) -gt 1; and printf '%s\\n' $lines[2..-1]
end
complete -c onejob -f -a '(__onejob_complete)'
`,
};
