/**
 * Actions that others have published, as npm has them, unmodified, in whole runs: a deployment by git,
 * a package for a registry, a check that refuses its input.
 */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import {
  assertBuried,
  type Constellation,
  type EndedRun,
  startConstellation,
} from '@onejob/testing';
import { copyPublished } from './_mirror.ts';
import { annotationsOf, assertRows, rowsOf } from './_rows.ts';

let all: Constellation;
let base = '';
let server: Server;
let address = '';
const TOKEN = 'the-token-of-the-registry';

before(async () => {
  base = mkdtempSync(join(tmpdir(), 'onejob-actions-'));
  await copyPublished(base);
  server = createServer(answer).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  address = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  all = await startConstellation({ agent: { actionMirrors: [base], actionsUrls: [] } });
});
after(async () => {
  const { agentDirectory } = all;
  await all[Symbol.asyncDispose]();
  await assertBuried(agentDirectory);
  server.close();
  rmSync(base, { recursive: true, force: true });
});

/** Packages by name, as they were put. */
const packages = new Map<string, string>();

/** A registry of npm packages: "Public registry API" of npm's documentation, its package endpoints. */
function answer(request: IncomingMessage, response: ServerResponse): void {
  const name = decodeURIComponent(request.url ?? '').slice(1);
  const json = (status: number, text: string): void => {
    response.writeHead(status, { 'content-type': 'application/json' }).end(text);
  };
  if (request.method === 'GET') {
    return json(packages.has(name) ? 200 : 404, packages.get(name) ?? '{"error":"Not found"}');
  }
  let body = '';
  request.on('data', (chunk: Buffer) => (body += chunk.toString()));
  request.on('end', () => {
    if (request.headers.authorization !== `Bearer ${TOKEN}`) return json(401, '{}');
    const { _attachments: attachments, ...manifest } = JSON.parse(body) as Record<string, unknown>;
    assert.ok(attachments !== undefined);
    packages.set(name, JSON.stringify(manifest));
    json(201, '{"ok":true}');
  });
}

const run = async (steps: string): Promise<EndedRun> =>
  await all.run({
    workflow: `on: push\njobs:\n  one:\n    runs-on: ubuntu-latest\n    steps:\n${steps}`,
    secrets: { TOKEN },
  });

/** What the action asks of rsync, done by cp: not every machine that runs the tests has it. */
const RSYNC = `#!/bin/sh
[ "$1" = --version ] && exec echo "rsync  version 3.2.7  protocol version 31"
for word; do case "$word" in
  -*) ;;
  */.) from=$word ;;
  *) [ -n "$from" ] && [ -z "$to" ] && to=$word ;;
esac; done
exec cp -R "$from" "$to"`;

test('JamesIves/github-pages-deploy-action pushes a folder to its branch', async () => {
  const steps = `
      - uses: actions/checkout@v4
      - env: { RSYNC: ${JSON.stringify(RSYNC)}, TOKEN: "\${{ secrets.TOKEN }}" }
        run: |
          mkdir -p ~/bin site; echo "$RSYNC" > ~/bin/rsync; chmod +x ~/bin/rsync
          echo ~/bin >> "$GITHUB_PATH"
          echo built > site/index.html
          git init --quiet --bare "$RUNNER_TEMP/pages/local/test.git"
          git config --global "url.file://$RUNNER_TEMP/pages/.insteadOf" \\
            "https://x-access-token:$TOKEN@\${GITHUB_SERVER_URL#http://}/"
      - id: pages
        uses: JamesIves/github-pages-deploy-action@v4
        with: { folder: site, token: "\${{ secrets.TOKEN }}" }
      - run: |
          git --git-dir "$RUNNER_TEMP/pages/local/test.git" log --format='%an: %s' gh-pages
          git --git-dir "$RUNNER_TEMP/pages/local/test.git" show gh-pages:index.html
          echo "$deployment_status, \${{ steps.pages.outputs.deployment-status }}"
      - id: missing
        continue-on-error: true
        uses: JamesIves/github-pages-deploy-action@v4
        with: { folder: nowhere, token: "\${{ secrets.TOKEN }}" }
      - run: echo "$deployment_status, \${{ steps.missing.outputs.deployment-status }}"
`;
  const ended = await run(steps);
  assertRows(ended, [
    'Configuring git…',
    /^\[command\]\S*\/git remote add origin https:\/\/x-access-token:\*\*\*@onejob\.localhost:\d+\/local\/test\.git$/,
    'Changes committed to the gh-pages branch… 📦',
    'Completed deployment successfully! ✅',
    /^test: Deploying to gh-pages from @ local\/test@[0-9a-f]{40} 🚀$/,
    'test: Initial gh-pages commit',
    'built',
    'success, success',
    /^##\[error\]The directory you're trying to deploy named \S*\/nowhere doesn't exist/,
    '##[notice]Deployment failed! ❌',
    'failed, failed',
  ]);
  assert.equal(ended.run.conclusion, 'success');
  assert.ok(annotationsOf(ended).some(({ message }) => message === 'Deployment failed! ❌'));
  assert.doesNotMatch(rowsOf(ended).join('\n'), new RegExp(TOKEN));
});

test('JS-DevTools/npm-publish publishes a package once', async () => {
  const use = (id: string): string => `
      - id: ${id}
        uses: JS-DevTools/npm-publish@v4
        with: { registry: "${address}", token: "\${{ secrets.TOKEN }}", package: lib }
      - env: { SAID: "\${{ toJSON(steps.${id}.outputs) }}" }
        run: echo "$SAID"
`;
  const ended = await run(`
      - run: |
          mkdir lib
          echo '{ "name": "@acme/lib", "version": "1.0.0" }' > lib/package.json
${use('first')}${use('again')}`);
  assertRows(ended, [
    '  "name": "@acme/lib",',
    '  "type": "initial",',
    '  "type": "",',
    '  "old-version": "1.0.0",',
  ]);
  assert.equal(ended.run.conclusion, 'success');
  assert.deepEqual([...packages.keys()], ['@acme/lib']);
});

test('RafaelGSS/is-my-node-vulnerable refuses a platform, and its exit code fails the step', async () => {
  const ended = await run(`
      - id: check
        continue-on-error: true
        uses: RafaelGSS/is-my-node-vulnerable@v1
        with: { platform: beos }
      - run: echo "it ended with \${{ steps.check.outcome }}"
`);
  assertRows(ended, [
    `The action asks for node20; this machine runs it with Node ${process.version}.`,
    'Checking Node.js version v20.x with platform beos...',
    /^Error: platform beos is not valid\. Please use aix,/,
    'it ended with failure',
  ]);
});
