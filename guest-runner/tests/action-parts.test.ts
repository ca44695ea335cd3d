/** Actions of other repositories, which a mirror of the host gives: their pre parts, their contexts. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { CompiledStep, UsesStep } from '@onejob/protocol';
import { runToEnd, type TestHost } from './_host.ts';
import { expr, makeTask, map, path, run, uses } from './_task.ts';

/** The archive of an action. */
function archive(files: Record<string, string>): Buffer {
  const directory = mkdtempSync(join(tmpdir(), 'onejob-action-'));
  try {
    for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
    return execFileSync('tar', ['-c', '-C', directory, '.']);
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** Runs steps on a host that has these actions of `acme`, by name. */
async function runSteps(
  actions: Record<string, Record<string, string>>,
  steps: CompiledStep[],
): Promise<TestHost> {
  const tars = new Map(Object.entries(actions).map(([name, files]) => [name, archive(files)]));
  const bulk = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void => {
    const name = new URL(headers[':path'] ?? '', 'http://host').searchParams.get('repository');
    const tar = tars.get(name ?? '');
    assert.ok(tar !== undefined, `nobody has the action '${name}'`);
    stream.respond({ ':status': 200, 'content-length': String(tar.length) });
    stream.end(tar);
  };
  return await runToEnd({ task: makeTask(steps), bulk });
}

const remote = (name: string, parts: Partial<UsesStep> = {}): UsesStep =>
  uses(`acme/${name}@v1`, {
    action: { kind: 'repository', owner: 'acme', repository: name, path: '', ref: 'v1' },
    ...parts,
  });

const runAction = async (
  files: Record<string, string>,
  parts: Partial<UsesStep>,
): Promise<TestHost> => await runSteps({ pre: files }, [remote('pre', parts), run('echo last')]);

const runWithPre = async (
  pre: string,
  parts: Partial<UsesStep>,
  when = 'always()',
): Promise<TestHost> =>
  await runAction(
    {
      'action.yml': `runs: { using: node24, pre: pre.js, pre-if: "${when}", main: main.js }\n`,
      'pre.js': pre,
      'main.js': "console.log('main ran');",
    },
    parts,
  );

const preOf = (host: TestHost) =>
  host.steps().find(({ index, phase }) => index === 0 && phase === 'pre');

test('a pre part that fails fails the job', async () => {
  await using host = await runWithPre('process.exit(3)', {});
  assert.equal(host.finished.conclusion, 'failure');
  assert.match(
    host.finished.message,
    /step 'Pre Run acme\/pre@v1' failed: Process completed with exit code 3/,
  );
  assert.ok(!host.lines().includes('last'));
});

test('continue-on-error of a step is that of its pre part too', async () => {
  await using host = await runWithPre('process.exit(3)', { continueOnError: true });
  assert.equal(host.finished.conclusion, 'success', host.text());
  assert.deepEqual([preOf(host)?.outcome, preOf(host)?.conclusion], ['failure', 'success']);
  assert.ok(host.lines().includes('main ran') && host.lines().includes('last'));
});

test('timeout-minutes of a step is the time of its pre part too', async () => {
  const hangs = "console.log('begun'); setTimeout(() => console.log('too late'), 30_000);";
  await using host = await runWithPre(hangs, { timeoutMinutes: 0.06 });
  assert.equal(host.finished.conclusion, 'failure');
  assert.ok(host.lines().includes('begun') && !host.lines().includes('too late'), host.text());
  assert.match(
    host.finished.message,
    /The action 'Pre Run acme\/pre@v1' has timed out after 0\.06 minutes/,
  );
});

test('a pre part whose condition is false is skipped; the condition sees the env of the step', async () => {
  const pre = "console.log('pre ran');";
  for (const [go, conclusion] of [
    ['yes', 'success'],
    ['no', 'skipped'],
  ] as const) {
    await using host = await runWithPre(pre, { env: map({ GO: go }) }, "env.GO == 'yes'");
    assert.equal(preOf(host)?.conclusion, conclusion, host.text());
    assert.equal(host.lines(0).includes('pre ran'), go === 'yes');
    assert.ok(host.lines(0).includes('main ran'));
  }
});

test('a pre condition that cannot be evaluated fails the job with its place', async () => {
  await using host = await runWithPre('', {}, "fromJSON('{')");
  assert.equal(preOf(host)?.conclusion, 'failure');
  assert.equal(host.finished.reason, 'invalid_expression', host.text());
  assert.match(host.finished.message, /^\.github\/workflows\/ci\.yml \(Line: /);
});

test('defaults of inputs and `with` see the repository and the ref of the action', async () => {
  const action =
    'inputs: { from: { default: "${{ github.action_repository }}@${{ github.action_ref }}" }, ref: {} }\n' +
    'runs: { using: node24, main: main.js }\n';
  const main = 'console.log(`from ${process.env.INPUT_FROM}, ref ${process.env.INPUT_REF}`);';
  await using host = await runAction(
    { 'action.yml': action, 'main.js': main },
    { with: map({ ref: expr(path('github.action_ref')) }) },
  );
  assert.ok(host.lines(0).includes('from acme/pre@v1, ref v1'), host.text());
});

/** An action whose parts say what they are; its pre part ends with this code and leaves a state. */
const script = (name: string, exitCode = 0, rest = ''): Record<string, string> => ({
  'action.yml': `runs: { using: node24, pre: pre.js, main: main.js, post: post.js${rest} }\n`,
  'pre.js':
    `console.log('pre of ${name}');\n` +
    `require('node:fs').appendFileSync(process.env.GITHUB_STATE, 'from=pre of ${name}\\n');\n` +
    `process.exitCode = ${exitCode};\n`,
  'main.js': `console.log('main of ${name}');`,
  'post.js': `console.log(\`post of ${name}, \${process.env.STATE_from}\`);`,
});

const composite = (...steps: string[]): Record<string, string> => ({
  'action.yml': `runs:\n  using: composite\n  steps:\n${steps.map((step) => `    - ${step}\n`).join('')}`,
});

const partsSaid = (host: TestHost): string[] =>
  host.lines().filter((line) => /^(?:pre|main|post) of /.test(line));

test('a pre part inside a composite action that fails fails the job, and the next one runs all the same', async () => {
  const actions = {
    outer: composite('{ uses: acme/bad@v1 }', '{ uses: acme/good@v1 }'),
    bad: script('bad', 3),
    good: script('good'),
  };
  await using host = await runSteps(actions, [remote('outer'), run('echo last')]);
  assert.equal(host.finished.conclusion, 'failure');
  assert.match(host.finished.message, /step 'Pre Run acme\/outer@v1' failed: .*exit code 3/);
  assert.deepEqual(partsSaid(host), [
    'pre of bad',
    'pre of good',
    'post of good, pre of good',
    'post of bad, pre of bad',
  ]);
  assert.ok(!host.lines().includes('last'));
  const posts = host.steps().filter(({ index, phase }) => index === 0 && phase === 'post');
  assert.deepEqual(
    posts.map(({ name, conclusion }) => [name, conclusion]),
    [['Post Run acme/outer@v1', 'success']],
  );
});

test('a pre-if inside a composite action looks at the job, not at the action', async () => {
  const actions = {
    bad: script('bad', 3),
    outer: composite('{ uses: acme/after@v1 }', '{ uses: acme/unless@v1 }'),
    after: script('after', 0, ", pre-if: 'failure()'"),
    unless: script('unless', 0, ", pre-if: 'success()'"),
  };
  await using host = await runSteps(actions, [remote('bad'), remote('outer')]);
  assert.deepEqual(
    partsSaid(host).filter((line) => line.startsWith('pre of')),
    ['pre of bad', 'pre of after'],
  );
});

test('a post part inside a composite action runs where its pre part has run, though its step was skipped', async () => {
  const actions = {
    outer: composite(
      '{ uses: acme/first@v1, if: false }',
      '{ uses: acme/inner@v1 }',
      '{ uses: acme/last@v1 }',
    ),
    inner: composite('{ uses: acme/deep@v1, if: false }'),
    first: script('first'),
    deep: script('deep'),
    last: script('last'),
  };
  await using host = await runSteps(actions, [remote('outer')]);
  assert.equal(host.finished.conclusion, 'success', host.text());
  assert.deepEqual(partsSaid(host), [
    ...['pre of first', 'pre of deep', 'pre of last', 'main of last'],
    ...['post of last, pre of last', 'post of deep, pre of deep', 'post of first, pre of first'],
  ]);
});

test('of two steps of the job the one whose pre part came last has its post part first, each once', async () => {
  const actions = {
    outer: composite('{ uses: acme/inner@v1 }'),
    inner: script('inner'),
    own: script('own'),
  };
  await using host = await runSteps(actions, [remote('outer'), remote('own')]);
  assert.deepEqual(partsSaid(host), [
    ...['pre of inner', 'pre of own', 'main of inner', 'main of own'],
    ...['post of own, pre of own', 'post of inner, pre of inner'],
  ]);
});

test('steps of an action name it in their env, and themselves in what they run', async () => {
  const says = 'echo "$A [$GITHUB_ACTION_REPOSITORY][${{ github.action_ref }}]"';
  const actions = {
    outer: composite(
      `{ shell: bash, env: { A: '\${{ github.action_repository }}' }, run: '${says}' }`,
      '{ uses: ./local }',
    ),
  };
  const makes = `mkdir local; cat > local/action.yml <<'END'\nruns: { using: node24, main: m.js }\nEND\necho 'console.log("local [" + process.env.GITHUB_ACTION_REPOSITORY + "]")' > local/m.js`;
  await using host = await runSteps(actions, [run(makes), remote('outer')]);
  assert.equal(host.finished.conclusion, 'success', host.text());
  assert.ok(host.lines(1).includes('acme/outer [][]'), host.text());
  assert.ok(host.lines(1).includes('local []'), host.text());
});
