/**
 * Actions that others have published, as npm has them, unmodified, in whole runs: a deployment by git,
 * a package for a registry, a check that refuses its input.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
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

test('JamesIves/github-pages-deploy-action pushes a folder to its branch', async () => {
  const steps = `
      - uses: actions/checkout@v4
      - env: { TOKEN: "\${{ secrets.TOKEN }}" }
        run: |
          mkdir -p site/assets; echo built > site/index.html; echo body > site/assets/a.css
          git init --quiet --bare "$RUNNER_TEMP/pages/local/test.git"
          git config --global "url.file://$RUNNER_TEMP/pages/.insteadOf" \\
            "https://x-access-token:$TOKEN@\${GITHUB_SERVER_URL#http://}/"
      - id: pages
        uses: JamesIves/github-pages-deploy-action@v4
        with: { folder: site, token: "\${{ secrets.TOKEN }}" }
      - run: |
          git --git-dir "$RUNNER_TEMP/pages/local/test.git" log --format='%an: %s' gh-pages
          git --git-dir "$RUNNER_TEMP/pages/local/test.git" show gh-pages:index.html
          git --git-dir "$RUNNER_TEMP/pages/local/test.git" show gh-pages:assets/a.css
          echo "$deployment_status, \${{ steps.pages.outputs.deployment-status }}"
      - run: rm -r site/assets; echo again > site/index.html
      - uses: JamesIves/github-pages-deploy-action@v4
        with: { folder: site, token: "\${{ secrets.TOKEN }}" }
      - run: git --git-dir "$RUNNER_TEMP/pages/local/test.git" ls-tree -r --name-only gh-pages | sed 's/^/now /'
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
    'body',
    'success, success',
    /^\[command\]\S*\/rsync -q -av --checksum --progress \S*\/site\/\. github-pages-deploy-action-temp-deployment-folder --delete /,
    'now index.html',
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

/** Its servers, in the index of whose releases Node 20 is, and what they say of its weaknesses. */
const FAR_SIDE: Record<string, unknown> = {
  '/nodejs/Release/master/schedule.json': {
    v20: { start: '2023-04-18', lts: '2023-10-24', end: '2999-04-30', codename: 'Iron' },
  },
  '/dist/index.json': [
    { version: 'v20.11.0', date: '2024-01-09', files: ['linux-x64'], lts: 'Iron', security: false },
  ],
  '/nodejs/security-wg/main/vuln/core/index.json': {
    1: {
      cve: ['CVE-2999-0001'],
      vulnerable: '20.x',
      patched: '^20.12.0',
      overview: 'weak',
      affectedEnvironments: ['win32'],
    },
  },
};

/** Names of servers lead to ours, as a preloaded script says; the action itself is as it is. */
const LEAD = `const tls = require('tls');
const connect = tls.connect;
const servers = ['raw.githubusercontent.com', 'nodejs.org'];
tls.connect = (options, ...rest) => {
  const name = options.servername || options.host;
  if (!servers.includes(name)) return connect(options, ...rest);
  const { path, ...others } = options;
  return connect({ ...others, servername: name, host: '127.0.0.1', port: PORT }, ...rest);
};`;

test('RafaelGSS/is-my-node-vulnerable asks its servers and says what they know, as success or failure', async () => {
  const asked: string[] = [];
  await using far = await startFarSide((path) => {
    asked.push(path);
    return FAR_SIDE[path];
  });
  const use = (id: string, platform: string): string => `
      - id: ${id}
        continue-on-error: true
        uses: RafaelGSS/is-my-node-vulnerable@v1
        with: { node-version: v20.11.0, platform: ${platform} }
        env: { NODE_EXTRA_CA_CERTS: "${far.certificate}", NODE_OPTIONS: "--require=${far.script}" }
      - run: echo "${id} ended with \${{ steps.${id}.outcome }}"
`;
  const ended = await run(`${use('one', 'linux')}${use('other', 'win32')}`);
  assertRows(ended, [
    'Checking Node.js version v20.11.0 with platform linux...',
    'Node.js version v20.11.0 is OK!',
    'one ended with success',
    'Checking Node.js version v20.11.0 with platform win32...',
    '##[error]Node.js version v20.11.0 is vulnerable. Please upgrade!',
    'other ended with failure',
  ]);
  assert.deepEqual(new Set(asked), new Set(Object.keys(FAR_SIDE)));
});

type FarSide = AsyncDisposable & { certificate: string; script: string };

/**
 * A server of HTTPS whose certificate is for the names that lead to it. Its answers may not be kept: the
 * client in the action's bundle ends silently where they may, with Node 20 as with Node 24.
 */
async function startFarSide(find: (path: string) => unknown): Promise<FarSide> {
  const folder = mkdtempSync(join(tmpdir(), 'onejob-far-'));
  const [key, certificate, script] = ['key.pem', 'cert.pem', 'lead.cjs'].map((name) =>
    join(folder, name),
  ) as [string, string, string];
  const names = 'subjectAltName=DNS:raw.githubusercontent.com,DNS:nodejs.org';
  const made = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'];
  const subject = ['-subj', '/CN=far side', '-addext', names];
  const files = ['-keyout', key, '-out', certificate];
  execFileSync('openssl', ['req', '-x509', ...made, ...subject, ...files], { stdio: 'ignore' });
  const options = { key: readFileSync(key), cert: readFileSync(certificate) };
  const far = createSecureServer(options, (request, response) => {
    const found = find(request.url ?? '');
    response.writeHead(found === undefined ? 404 : 200, {
      etag: '"1"',
      'cache-control': 'no-store',
    });
    response.end(request.method === 'HEAD' ? '' : JSON.stringify(found));
  }).listen(0, '127.0.0.1');
  await once(far, 'listening');
  writeFileSync(script, LEAD.replace('PORT', String((far.address() as AddressInfo).port)));
  return {
    certificate,
    script,
    [Symbol.asyncDispose]: async () => {
      far.closeAllConnections();
      await new Promise((closed) => far.close(closed));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
