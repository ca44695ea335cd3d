/** A runner that lived in a snapshot would give every restore the same random values: it asks for none. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempDisposableSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { bundleGuestRunner } from '@onejob/image';
import { Repository } from './_forge.ts';
import { runToEnd } from './_host.ts';
import { call, checkout, expr, makeTask, run, text, uses } from './_task.ts';

const TRAP = new URL('./_random-trap.mjs', import.meta.url).pathname;
const TRAPPED = { NODE_OPTIONS: `--import=${TRAP}` };
const SOURCES = new URL('../src/', import.meta.url).pathname;
const IDS = new URL('../../protocol/src/ids.ts', import.meta.url).pathname;

const cacheDir = mkdtempSync(join(tmpdir(), 'onejob-chance-'));
let bundled: Awaited<ReturnType<typeof bundleGuestRunner>>;
before(async () => {
  bundled = await bundleGuestRunner({ cacheDir });
});
after(() => rmSync(cacheDir, { recursive: true }));

test('a runner asks no random source in its whole life, whatever its job does', async () => {
  await using host = await runToEnd({
    task: makeTask([
      run(
        'echo "a=b" >> "$GITHUB_OUTPUT"; echo "::warning::careful"; echo "# Hi" >> "$GITHUB_STEP_SUMMARY"',
      ),
      run(
        'echo "::add-mask::hidden"; node -e "console.log(crypto.randomUUID())"; echo "X=y" >> "$GITHUB_ENV"',
      ),
      run('curl -s --max-time 5 --proxy "$http_proxy" http://nowhere.test/ || true'),
      run('exit 3'),
      run('echo after', { condition: call('always') }),
    ]),
    environment: TRAPPED,
  });
  assert.equal(host.finished.reason, 'step_failed');
  assert.match(host.text(), /[0-9a-f]{8}-[0-9a-f]{4}-4/, 'a process of the job may ask');
  assert.doesNotMatch(host.stderr, /RANDOM/);
});

const JS_ACTION = `name: a
runs: { using: node24, pre: main.mjs, main: main.mjs, post: main.mjs }`;
const JS_MAIN = `
const { ACTIONS_RUNTIME_TOKEN: token, ACTIONS_RESULTS_URL: address } = process.env;
const path = '/twirp/github.actions.results.api.v1.ArtifactService/CreateArtifact';
const headers = { authorization: 'Bearer ' + token };
const made = await fetch(new URL(path, address), { method: 'POST', body: '{"name":"a"}', headers });
await fetch(address + '~results/upload/7?sig=1', { method: 'PUT', body: 'x'.repeat(100_000) });
console.log('made', made.status);
console.log('::add-mask::hidden');`;
const COMPOSITE = `name: c
inputs: { who: { default: "\${{ hashFiles('**/*.txt') }}" } }
outputs: { out: { value: "\${{ steps.a.outputs.a }}" } }
runs:
  using: composite
  steps:
    - { id: a, run: 'echo "a=\${{ inputs.who }}" >> "$GITHUB_OUTPUT"', shell: bash }
    - { uses: ./js }`;
const MATCHER = {
  problemMatcher: [{ owner: 'a', pattern: [{ regexp: '^(\\S+): (.+)', file: 1, message: 2 }] }],
};
const FILES = {
  ...{ 'js/action.yml': JS_ACTION, 'js/main.mjs': JS_MAIN },
  ...{ 'composite/action.yml': COMPOSITE, 'm.json': JSON.stringify(MATCHER) },
};

test('nor does its bundle, as it checks out, enters actions, matches problems and forwards uploads', async () => {
  using repository = new Repository(FILES);
  const asked = new Set<string>();
  const bulk = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void => {
    const place = headers[':method'] === 'CONNECT' ? 'CONNECT' : (headers[':path'] ?? '');
    asked.add(/^\/?\w+/.exec(place)?.[0] ?? place);
    if (place.startsWith('/source/')) return repository.serve(stream, headers);
    if (!place.startsWith('/actions')) {
      stream.respond({ ':status': place === 'CONNECT' ? 403 : 200 });
      return void stream.resume().once('end', () => stream.end('{}'));
    }
    const archive = execFileSync('tar', ['-c', '-C', join(repository.directory, 'js'), '.']);
    stream.respond({
      ...{ ':status': 200, 'content-length': archive.length },
      ...{ 'onejob-action-commit': 'a'.repeat(40), 'onejob-action-origin': 'network' },
    });
    stream.end(archive);
  };
  const remote = { owner: 'acme', repository: 'greet', path: '', ref: 'v1' };
  const steps = [
    checkout(),
    run('echo "::add-matcher::m.json"; echo "file.txt: a problem"'),
    run(expr(call('format', text('echo sum {0}'), call('hashfiles', text('*.txt'))))),
    uses('./composite'),
    uses('./js'),
    uses('acme/greet@v1', { action: { kind: 'repository', ...remote } }),
    run('curl -s --max-time 5 --proxy "$http_proxy" https://nowhere.test/ || true'),
  ];
  const results = { token: 'aGVhZA.Y2xhaW1z.of-this-job', cacheMode: 'write' } as const;
  await using host = await runToEnd({
    ...{ task: repository.task(steps, { results }), bulk },
    ...{ main: bundled.path, environment: TRAPPED },
  });
  assert.equal(host.finished.conclusion, 'success', host.text());
  assert.deepEqual([...asked].toSorted(), ['/actions', '/results', '/source', 'CONNECT']);
  const problems = host.messages.filter(
    (one) => one.type === 'annotation' && one.annotation.message === 'a problem',
  );
  assert.equal(problems.length, 1);
  for (const step of [3, 4, 5]) assert.match(host.text(step), /^made 200/m);
  assert.match(host.text(2), /^sum [0-9a-f]{64}$/m);
  assert.doesNotMatch(host.stderr, /RANDOM/);
});

test('nor does it in its rehearsal, of which nothing is left', () => {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'onejob-rehearsal-'));
  const work = join(directory.path, 'work');
  mkdirSync(work);
  const program = `
    import { readConfig } from '${SOURCES}config/config.ts';
    import { rehearse } from '${SOURCES}warm-up/rehearse.ts';
    await rehearse(readConfig());
    console.log('rehearsed');`;
  const carrier = { ONEJOB_CARRIER: 'unix', ONEJOB_CONTROL_SOCKET: '/', ONEJOB_BULK_SOCKET: '/' };
  const { PATH = '' } = process.env;
  const said = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    encoding: 'utf8',
    env: { ...carrier, ...TRAPPED, PATH, HOME: directory.path, ONEJOB_WORK: work },
    timeout: 60_000,
    killSignal: 'SIGKILL',
  });
  assert.equal(said.stdout, 'rehearsed\n', said.stderr);
  assert.doesNotMatch(said.stderr, /RANDOM/);
  assert.deepEqual(readdirSync(work), []);
});

/** No word of the bundle may have one of these in it, be it in a string: it has no need of them. */
const CHANCE =
  /\w*(?:random|uuid|webcrypto|\bsubtle\b|generateKey|createECDH|DiffieHellman|mkdtemp|getBuiltinModule)\w*/gi;
/** Of Node's modules: they make keys, or ask by themselves. */
const KEYS = /require\("(?:node:)?(?:tls|https|inspector|quic|sqlite|worker_threads)"\)/g;
/** What is taken of the module that has most random sources: both are answers to what they are given. */
const HARMLESS = new Set(['.createHash', '.timingSafeEqual']);

const suspicious = (code: string): string[] => [
  ...(code.match(CHANCE) ?? []),
  ...(code.match(KEYS) ?? []),
  ...ofCrypto(code),
];

/** Uses of Node's `crypto` but the harmless ones, by whatever name it has; and what gives it no name. */
function ofCrypto(code: string): string[] {
  return [...code.matchAll(/^.*require\("(?:node:)?crypto"\).*$/gm)].flatMap(([line]) => {
    const name = /(\w+) = (?:__toESM\()?require\(/.exec(line)?.[1];
    if (name === undefined) return [line];
    const rest = code.replace(line, '').replaceAll(/^var [\w, ]+;$/gm, '');
    const used = rest.matchAll(new RegExp(`\\b${name}\\b(\\.\\w+)?`, 'g'));
    return [...used].flatMap(([use, property = '']) => (HARMLESS.has(property) ? [] : [use]));
  });
}

test('nothing that is bundled with the runner names a random source, dependencies and protocol included', async () => {
  for (const path of [bundled.path, bundled.actionParserPath]) {
    const code = await readFile(path, 'utf8');
    assert.ok(code.length > 100_000);
    assert.deepEqual(suspicious(code), [], path);
  }
});

test('control: a bundle with ids of the protocol, or with any other random source, is found', async () => {
  const entry = join(cacheDir, 'entry.ts');
  const asks: [string, RegExp][] = [
    [`import { newJobId } from '${IDS}'; console.log(newJobId(1));`, /^getRandomValues$/],
    [
      "import { createHash, randomInt } from 'node:crypto'; createHash(`${randomInt(9)}`);",
      /random/,
    ],
    ["import * as all from 'node:crypto'; console.log(all['createSign']('x'));", /^all/],
    ["const { sign } = process.getBuiltinModule('crypto'); sign('a', 'b', 'c');", /BuiltinModule/],
    ['console.log(Math.random());', /^random$/],
    ["import { connect } from 'node:tls'; connect(1);", /node:tls/],
  ];
  for (const [source, found] of asks) {
    await writeFile(entry, source);
    const { path } = await bundleGuestRunner({ cacheDir, entry });
    const words = suspicious(await readFile(path, 'utf8'));
    assert.ok(
      words.some((word) => found.test(word)),
      `${source}: ${words.join()}`,
    );
  }
});

test('control: the trap hears of every way to ask', () => {
  const asks = [
    "require('crypto').randomBytes(1)",
    "require('crypto').randomUUID()",
    'crypto.randomUUID()',
    'crypto.getRandomValues(new Uint8Array(1))',
    'Math.random()',
    "import('node:crypto').then(({ randomInt }) => randomInt(9))",
    "require('crypto').generateKeyPairSync('ed25519')",
  ];
  for (const ask of asks) {
    const heard = execFileSync('sh', [
      '-c',
      '"$0" --import="$1" -e "$2" 2>&1',
      process.execPath,
      TRAP,
      ask,
    ]);
    assert.match(heard.toString(), /^RANDOM /, ask);
  }
});
