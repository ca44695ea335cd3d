/** onejob's own setup-node, in jobs of real runs, with a mirror of nodejs.org that holds scripts. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { arch, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { startConstellation, type Constellation, type EndedRun } from '@onejob/testing';
import { assertRows, job, rowsOf, workflow } from './_built-in.ts';

const PLATFORM = `linux-${arch()}`;
const INDEX = [
  { version: 'v99.1.0', files: [PLATFORM], lts: false },
  { version: 'v98.2.0', files: [PLATFORM], lts: 'Zirconium' },
];

/** A release: its `node` and `npm` say what they are. */
function packRelease(directory: string, version: string): Buffer {
  const name = `node-${version}-${PLATFORM}`;
  mkdirSync(join(directory, name, 'bin'), { recursive: true });
  for (const [program, says] of [
    ['node', version],
    ['npm', `of ${version}`],
  ] as const) {
    const path = join(directory, name, 'bin', program);
    writeFileSync(path, `#!/bin/sh\necho ${says}\n`);
    chmodSync(path, 0o755);
  }
  const archive = join(directory, `${name}.tar.gz`);
  execFileSync('tar', ['-czf', archive, '-C', directory, name]);
  return readFileSync(archive);
}

let all: Constellation;
let dist: Server;
const scratch = mkdtempSync(join(tmpdir(), 'onejob-dist-'));
const asked: { path: string; authorization: string | undefined }[] = [];
before(async () => {
  const files = new Map<string, Buffer>([
    ['/dist/index.json', Buffer.from(JSON.stringify(INDEX))],
    ...INDEX.map(({ version }): [string, Buffer] => [
      `/dist/${version}/node-${version}-${PLATFORM}.tar.gz`,
      packRelease(scratch, version),
    ]),
  ]);
  dist = createServer((request, response) => {
    const path = request.url ?? '';
    asked.push({ path, authorization: request.headers.authorization });
    const body = files.get(path);
    response.writeHead(body === undefined ? 404 : 200).end(body);
  });
  await new Promise<void>((resolve) => dist.listen(0, '127.0.0.1', resolve));
  all = await startConstellation();
});
after(async () => {
  dist.close();
  rmSync(scratch, { recursive: true, force: true });
  await all[Symbol.asyncDispose]();
});

const mirror = (): string => `http://127.0.0.1:${(dist.address() as AddressInfo).port}`;
const setUp = (words: string): string => `
      - id: node
        uses: actions/setup-node@v5
        with: { mirror: '${mirror()}', ${words} }`;
const run = async (steps: string, files: Record<string, string> = {}): Promise<EndedRun> =>
  await all.run({ workflow: workflow(job('one', steps)), files });

test('the Node of the machine is used where it fits, and nothing is downloaded', async () => {
  asked.length = 0;
  const ended = await run(`${setUp(`node-version: '${process.versions.node.split('.')[0]}'`)}
      - run: echo "it is \${{ steps.node.outputs.node-version }}"`);
  assertRows(ended, 'one', [
    "Action 'actions/setup-node@v5' is done by onejob itself",
    `Node ${process.versions.node} of this machine is used.`,
    `it is v${process.versions.node}`,
  ]);
  assert.deepEqual(asked, []);
});

test('another Node is downloaded once a job, and is on the PATH from then on', async () => {
  asked.length = 0;
  const ended = await run(`${setUp("node-version: '>=99', mirror-token: very-secret")}
      - run: echo "now $(node --version), npm $(npm)"
      - uses: actions/setup-node@v5
        with: { node-version: 98.x, mirror: '${mirror()}' }
      - run: echo "now $(node --version)"
      - uses: actions/setup-node@v5
        with: { node-version: 99.1.0, mirror: '${mirror()}' }
      - run: echo "again $(node --version)"`);
  assertRows(ended, 'one', [
    `Acquiring 99.1.0 - ${arch()}`,
    'now v99.1.0, npm of v99.1.0',
    'now v98.2.0',
    /^Found in cache @ .*\/node\/99\.1\.0\//,
    'again v99.1.0',
  ]);
  assert.deepEqual(
    asked.map(({ path }) => path.split('/').at(-1)),
    [
      'index.json',
      `node-v99.1.0-${PLATFORM}.tar.gz`,
      'index.json',
      `node-v98.2.0-${PLATFORM}.tar.gz`,
    ],
  );
  assert.equal(asked[0]?.authorization, 'Bearer very-secret');
});

test('aliases and files name versions', async () => {
  const files = { '.tool-versions': 'ruby 3.3.0\nnodejs 98.2.0\n' };
  const ended = await run(
    `
      - uses: actions/checkout@v4
      - uses: actions/setup-node@v5
        with: { node-version: latest, mirror: '${mirror()}' }
      - run: echo "latest $(node --version)"
      - uses: actions/setup-node@v5
        with: { node-version: 'lts/*', mirror: '${mirror()}' }
      - run: echo "lts $(node --version)"
      - uses: actions/setup-node@v5
        with: { node-version-file: .tool-versions, mirror: '${mirror()}' }`,
    files,
  );
  assertRows(ended, 'one', [
    'latest v99.1.0',
    'lts v98.2.0',
    'Resolved .tool-versions as 98.2.0',
    /^Found in cache @ .*\/node\/98\.2\.0\//,
  ]);
});

test('a version that is not there, and a mirror that is not there, fail with a sentence', async () => {
  const ended = await run(`
      - uses: actions/setup-node@v5
        continue-on-error: true
        with: { node-version: '97', mirror: '${mirror()}' }
      - uses: actions/setup-node@v5
        continue-on-error: true
        with: { node-version: '97', mirror: '${mirror()}/nothing' }
      - uses: actions/setup-node@v5
        continue-on-error: true
        with: { node-version: '97', mirror: 'file:///etc' }
      - uses: actions/setup-node@v5
        continue-on-error: true
        with: { node-version: '97', mirror: '${mirror()}', architecture: ../x }`);
  assertRows(ended, 'one', [
    /^##\[error\]Unable to find Node version '97' for platform linux and architecture /,
    /^##\[error\]The list of Node releases, http:.*\/nothing\/dist\/index\.json, could not be read: /,
    /^##\[error\]The input 'mirror' is no address: file:\/\/\/etc/,
    /^##\[error\]The input 'architecture' names none: \.\.\/x/,
  ]);
});

test('where nothing can be downloaded, the Node of the machine serves without npm', async () => {
  const path = join(scratch, 'only-node');
  mkdirSync(path);
  symlinkSync(process.execPath, join(path, 'node'));
  const major = process.versions.node.split('.')[0];
  const steps = [`'${major}'`, "'lts/*'", "'1'"].map(
    (version) => `
      - uses: actions/setup-node@v5
        continue-on-error: true
        env: { PATH: '${path}' }
        with: { node-version: ${version}, mirror: 'http://127.0.0.1:1' }`,
  );
  const ended = await run(steps.join(''));
  const isLts = process.release.lts !== undefined;
  const fallbacks = rowsOf(ended, 'one').filter((row) =>
    /^##\[warning\]The list of Node releases, .* is used instead\. This machine has no npm\.$/.test(
      row,
    ),
  );
  assert.equal(fallbacks.length, isLts ? 2 : 1, rowsOf(ended, 'one').join('\n'));
  assertRows(ended, 'one', [/^##\[error\]The list of Node releases, .* could not be read: /]);
});

test('a registry is in a file of the job, with the token that a step brings', async () => {
  const ended = await run(`
      - uses: actions/setup-node@v5
        with: { registry-url: 'https://packages.example/npm', scope: acme }
      - run: |
          cat "$NPM_CONFIG_USERCONFIG"
          echo "below temp \${{ startsWith(env.NPM_CONFIG_USERCONFIG, runner.temp) }}"`);
  assertRows(ended, 'one', [
    '//packages.example/npm/:_authToken=${NODE_AUTH_TOKEN}',
    '@acme:registry=https://packages.example/npm/',
    'below temp true',
  ]);
});

test('what npm has downloaded is cached by its lock file', async () => {
  const files = {
    'package.json': '{ "packageManager": "npm@11.0.0" }',
    'package-lock.json': '{ "lockfileVersion": 3, "packages": {} }',
  };
  const steps = `
      - uses: actions/checkout@v4
      - id: node
        uses: actions/setup-node@v5
      - run: |
          echo "hit \${{ steps.node.outputs.cache-hit }}"
          mkdir -p "$npm_config_cache" && echo of \${{ github.run_number }} >> "$npm_config_cache/file"
          cat "$npm_config_cache/file"`;
  // Where a package is kept is part of a cache's version, and the process driver's homes differ.
  const kept = join(scratch, 'npm');
  const cached = async (): Promise<EndedRun> => {
    rmSync(kept, { recursive: true, force: true });
    const one = job('one', steps, `\n    env: { npm_config_cache: '${kept}' }`);
    return await all.run({ workflow: workflow(one), files });
  };
  const first = await cached();
  assertRows(first, 'one', [
    /^Detected npm as the package manager/,
    'npm cache is not found',
    'hit false',
    /^Cache saved with the key: node-cache-Linux-\w+-npm-[0-9a-f]{64}$/,
  ]);
  const second = await cached();
  assertRows(second, 'one', [
    /^Cache restored from key: node-cache-Linux-/,
    'hit true',
    `of ${first.run.number}`,
    /^Cache hit occurred on the primary key node-cache-Linux-.*, not saving cache\.$/,
  ]);
});

test('what compilers and linters complain of are annotations', async () => {
  const ended = await run(
    `
      - uses: actions/checkout@v4
      - uses: actions/setup-node@v5
      - run: |
          echo "src/a.ts(3,7): error TS2322: Type 'string' is not assignable to type 'number'."
          echo "$PWD/src/a.ts"
          echo "  5:1  warning  Unexpected var, use let or const instead  no-var"
          echo
          echo "$PWD/src/a.ts: line 9, col 2, Error - Missing semicolon. (semi)"`,
    { 'src/a.ts': 'const a: number = "";\n' },
  );
  const found = (ended.run.jobs[0]?.annotations ?? []).map(({ annotation }) => annotation);
  assert.deepEqual(
    found.map(({ file, level, line, message }) => [file, line, level, message]),
    [
      ['src/a.ts', 3, 'error', "Type 'string' is not assignable to type 'number'."],
      ['src/a.ts', 5, 'warning', 'Unexpected var, use let or const instead'],
      ['src/a.ts', 9, 'error', 'Missing semicolon.'],
    ],
  );
});
