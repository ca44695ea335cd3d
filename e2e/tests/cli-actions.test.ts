/** Actions of other repositories, from mirrors of the host: resolved, kept, run with all their parts. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { RunStreamEvent } from '@onejob/protocol';
import { makeCheckout } from '@onejob/testing';
import { checkRefusal, CommandLine, jsonLines } from './_command-line.ts';

const SCRIPT = (part: string): string =>
  [
    "const { appendFileSync } = require('node:fs');",
    'const { env } = process;',
    `console.log('${part}', env.INPUT_WHO, env.STATE_parts, env.GITHUB_ACTION_REPOSITORY, env.GITHUB_ACTION_REF);`,
    `appendFileSync(env.GITHUB_STATE, \`parts=\${env.STATE_parts ?? ''}${part[0]}\\n\`);`,
  ].join('\n');

const action = makeCheckout({
  'action.yml':
    'name: greet\ninputs: { who: { default: you } }\n' +
    'runs: { using: node24, main: main.js, pre: pre.js, post: post.js }\n',
  'pre.js': SCRIPT('pre'),
  'main.js': SCRIPT('main'),
  'post.js': SCRIPT('post'),
  '.github/workflows/shared.yml':
    'on: { workflow_call: { inputs: { who: { type: string } } } }\njobs:\n' +
    '  x: { runs-on: ubuntu-latest, steps: [{ run: \'echo shared "${{ inputs.who }}"\' }] }\n' +
    '  y: { uses: ./.github/workflows/deeper.yml }\n',
  '.github/workflows/deeper.yml':
    'on: workflow_call\njobs:\n' +
    '  z: { runs-on: ubuntu-latest, steps: [{ run: echo deeper }] }\n',
  'wrap/action.yml':
    'runs:\n  using: composite\n  steps:\n' +
    "    - env: { A: '${{ github.action_repository }}' }\n      shell: bash\n" +
    '      run: echo "wrap is $A, and runs <$GITHUB_ACTION_REPOSITORY>"\n' +
    '    - { uses: acme/greet@v1, with: { who: inner } }\n',
});
const mirrors = mkdtempSync(join(tmpdir(), 'onejob-mirrors-'));
mkdirSync(join(mirrors, 'acme'));
const git = (...args: string[]): string =>
  execFileSync('git', args, { cwd: action.directory, encoding: 'utf8' }).trim();
git('tag', 'v1');
git('clone', '--quiet', '--bare', '.', join(mirrors, 'acme', 'greet.git'));
const sha = git('rev-parse', 'HEAD');

const workflow = (steps: string): string =>
  `on: push\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n${steps}`;
const checkout = makeCheckout({
  '.github/workflows/ok.yml': workflow(
    '      - uses: acme/greet@v1\n' +
      `      - uses: acme/greet/wrap@${sha}\n` +
      '      - uses: actions/checkout@v4\n',
  ),
  'other.yml': workflow('      - { uses: actions/checkout@v5, with: { repository: acme/lib } }\n'),
  'call.yml':
    'on: push\njobs:\n  a:\n    uses: acme/greet/.github/workflows/shared.yml@v1\n' +
    '    with: { who: you }\n',
  'call-nothing.yml': 'on: push\njobs:\n  a: { uses: acme/none/.github/workflows/x.yml@v1 }\n',
  'missing.yml': workflow('      - run: echo never\n      - uses: acme/nothing@v9\n'),
});
const actions = { ONEJOB_ACTION_MIRRORS: mirrors, ONEJOB_ACTIONS_URL: 'none' };
const line = await CommandLine.served(actions);
after(async () => {
  await line[Symbol.asyncDispose]();
  await checkout[Symbol.asyncDispose]();
  await action[Symbol.asyncDispose]();
  rmSync(mirrors, { recursive: true, force: true });
});

const here = { directory: checkout.directory };
/** For who starts a platform: one that is up has chosen where its actions are. */
const place = (environment: Record<string, string>) => ({
  ...here,
  environment: { ...actions, ...environment },
});
const RUN = ['run', '--driver', 'process'];

test('actions of a mirror run with pre, main and post; log and run say what they were resolved to', async () => {
  const { code, stderr, stdout } = await line.run([...RUN, '--json'], here);
  assert.equal(code, 0, stderr + stdout);
  const events = jsonLines<RunStreamEvent>(stdout);
  const rows = events.flatMap((event) => (event.type === 'log' ? event.rows : []));
  const said = rows
    .map(({ text }) => text)
    .filter((text) => /^(?:pre|main|post|wrap|Down|Action)/.test(text));
  assert.deepEqual(said, [
    `Download action repository 'acme/greet@v1' (SHA:${sha}) from a mirror of this host`,
    `Download action repository 'acme/greet@${sha}' (SHA:${sha}) from a mirror of this host`,
    "Action 'actions/checkout@v4' is done by onejob itself",
    'pre you undefined acme/greet v1',
    'pre inner undefined acme/greet v1',
    'main you p acme/greet v1',
    'wrap is acme/greet, and runs <>',
    'main inner p acme/greet v1',
    'post inner pm acme/greet v1',
    'post you pm acme/greet v1',
  ]);
  const runs = events.flatMap((event) => (event.type === 'run' ? [event.run] : []));
  const job = runs.at(-1)?.jobs[0];
  assert.deepEqual(
    job?.steps.filter(({ index }) => index === 0).map(({ name, phase }) => [phase, name]),
    [
      ['pre', 'Pre Run acme/greet@v1'],
      ['main', 'Run acme/greet@v1'],
      ['post', 'Post Run acme/greet@v1'],
    ],
  );
  assert.deepEqual(job?.actions, [
    { uses: 'acme/greet@v1', commit: sha, origin: 'mirror' },
    { uses: `acme/greet@${sha}`, commit: sha, origin: 'mirror' },
    { uses: 'actions/checkout@v4', commit: '', origin: 'builtin' },
  ]);
  const [kept = '', ...others] = readdirSync(join(line.data, 'agent', 'actions', 'kept'));
  assert.deepEqual([kept.slice(-44), others], [`${sha}.tar`, []]);
});

test('an action that is nowhere fails the job before its first step, with the line', async () => {
  const ended = await line.run([...RUN, '-W', 'missing.yml'], here);
  checkRefusal(ended, 1, /missing\.yml:7:15: Unable to resolve action `acme\/nothing@v9`/);
  assert.doesNotMatch(ended.stdout, /never/);
});

test('a workflow of a mirror is called, and what it calls at the same commit', async () => {
  const { code, stderr, stdout } = await line.run([...RUN, '-W', 'call.yml', '--json'], here);
  assert.equal(code, 0, stderr + stdout);
  const events = jsonLines<RunStreamEvent>(stdout);
  const run = events.flatMap((event) => (event.type === 'run' ? [event.run] : [])).at(-1);
  const file = (name: string) => `acme/greet/.github/workflows/${name}.yml@v1`;
  assert.deepEqual(run?.referencedWorkflows, [
    { path: file('shared'), ref: 'v1', sha },
    { path: file('deeper'), ref: 'v1', sha },
  ]);
  assert.match(stdout, /"shared you"/);
  assert.match(stdout, /"deeper"/);
  const none = await line.run([...RUN, '-W', 'call-nothing.yml'], here);
  checkRefusal(
    none,
    1,
    /call-nothing\.yml:3:14: job 'a' cannot run: .*its jobs get no actions over the network/,
  );
});

test('onejob’s own checkout stands in as the policy says', async () => {
  await using alone = await CommandLine.prepared();
  const never = await alone.run(RUN, place({ ONEJOB_BUILTIN_ACTIONS: 'never' }));
  checkRefusal(never, 1, /Unable to resolve action `actions\/checkout@v4`/);
  const wrong = await alone.run(RUN, place({ ONEJOB_BUILTIN_ACTIONS: 'sometimes' }));
  checkRefusal(wrong, 2, /ONEJOB_BUILTIN_ACTIONS is sometimes: one of fallback, always, never/);
  const secret = await alone.run(
    RUN,
    place({ ONEJOB_ACTIONS_URL: 'https://me:secret@git.example' }),
  );
  checkRefusal(
    secret,
    2,
    /ONEJOB_ACTIONS_URL is wrong: none, or http\(s\) addresses without a user/,
  );
  assert.doesNotMatch(secret.stderr, /secret/);
  const twice = { ONEJOB_ACTIONS_URL: 'acme=https://a.example Acme=https://b.example' };
  checkRefusal(await alone.run(RUN, place(twice)), 2, /names two servers of the owner acme/);
  const gone = await alone.run(RUN, place({ ONEJOB_ACTION_MIRRORS: '/nowhere/at/all' }));
  checkRefusal(gone, 2, /ONEJOB_ACTION_MIRRORS names \/nowhere\/at\/all/);
});

test('a repository that is not the run’s is looked for where actions are, through the guard', async () => {
  await using alone = await CommandLine.prepared();
  const nowhere = await alone.run([...RUN, '-W', 'other.yml'], place({}));
  checkRefusal(nowhere, 1, /other\.yml:6:17: .*This host names no server of other repositories/);
  const forge = { ONEJOB_ACTIONS_URL: 'http://10.0.0.1' };
  const guarded = await alone.run([...RUN, '-W', 'other.yml'], place(forge));
  assert.equal(guarded.code, 1, guarded.stdout);
  assert.match(guarded.stdout, /http:\/\/10\.0\.0\.1\/acme\/lib could not be read: .*403/);
  assert.match(guarded.stdout, /onejob refuses 10\.0\.0\.1:80: it is a private address/);
});
