/**
 * What the log says where ACTIONS_STEP_DEBUG is true, in the words of GitHub's runner (StepsRunner.cs,
 * ActionRunner.cs, FileCommandManager.cs, JobExtension.cs); and that it says nothing of a secret.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { runToEnd } from './_host.ts';
import { call, expr, makeTask, map, path, run, text, uses } from './_task.ts';

const debugOf = (lines: readonly string[]): string[] =>
  lines
    .filter((line) => line.startsWith('##[debug]'))
    .map((line) => line.slice('##[debug]'.length));

const DEBUG = { secrets: { ACTIONS_STEP_DEBUG: 'true' } };

test('a step is told from its condition to its end, with what it leaves', async () => {
  const script = [
    'echo "A=1" >> "$GITHUB_ENV"',
    'printf "M<<E\\nx\\ny\\nE\\n" >> "$GITHUB_OUTPUT"',
    'echo "S=2" >> "$GITHUB_STATE"',
    'echo "::set-output name=old::v"',
  ].join('\n');
  const step = run(script, { id: 'a', name: 'make' });
  const outputs = map({ m: expr(path('steps.a.outputs.M')), none: '' });
  const task = makeTask([step, run('true', { name: 'not', condition: call('failure') })], {
    ...DEBUG,
    job: { outputs },
  });
  await using host = await runToEnd({ task });
  const rows = debugOf(host.lines(0));
  const command = rows.findIndex((row) => row.includes('onejob-step-'));
  assert.deepEqual(
    [...rows.slice(0, command), ...rows.slice(command + 1)],
    [
      "Evaluating condition for step: 'make'",
      'Evaluating: success()',
      'Evaluating success:',
      '=> true',
      'Result: true',
      'Starting: make',
      'Loading inputs',
      'Loading env',
      "steps.a.outputs.old='v'",
      "A='1'",
      'Save intra-action state S = 2',
      'Set output M = x',
      'y',
      'Finishing: make',
    ],
  );
  assert.deepEqual(debugOf(host.lines(1)), [
    "Evaluating condition for step: 'not'",
    'Evaluating: failure()',
    'Evaluating failure:',
    '=> false',
    'Result: false',
  ]);
  const job = debugOf(host.lines(-1));
  for (const row of [
    'Starting: Set up job',
    'Primary repository: local/sample',
    'Evaluating job-level environment variables',
    'Finishing: Set up job',
    "Skip output 'none' since it's empty",
    'Finishing: Complete job',
  ]) {
    assert.ok(job.includes(row), `${row}\n${job.join('\n')}`);
  }
});

test('an action is told, its post part too, and the steps inside it', async () => {
  const files = [
    'mkdir a b',
    "echo 'runs: { using: node24, main: m.js, post: p.js }' > a/action.yml",
    'echo > a/m.js; echo > a/p.js',
    "echo 'runs: { using: composite, steps: [{ uses: ./a }] }' > b/action.yml",
  ].join('; ');
  await using host = await runToEnd({ task: makeTask([run(files), uses('./b')], DEBUG) });
  const rows = debugOf(host.lines(1)).filter((row) => /^[A-Z]\w+ ?\w*.*[:']|^Node/.test(row));
  const told = rows.filter((row) => /Starting|Finish|Register|Node|condition/.test(row));
  assert.deepEqual(told, [
    "Evaluating condition for step: 'Run ./b'",
    'Starting: Run ./b',
    "Evaluating condition for step: 'Run ./a'",
    'Starting: Run ./a',
    'Register post job cleanup for action: ./a',
    'Node Action run completed with exit code 0',
    'Finished: Run ./a',
    'Finishing: Run ./b',
    "Evaluating condition for step: 'Post Run ./b'",
    'Starting: Post Run ./b',
    "Evaluating condition for step: 'Post Run ./a'",
    'Starting: Post Run ./a',
    'Node Action run completed with exit code 0',
    'Finished: Post Run ./a',
    'Finishing: Post Run ./b',
  ]);
});

test('no secret is told, whole or in the lines of its values, and without debugging nothing is', async () => {
  const secrets = { KEY: "first'line-of-it\nsecond-line-of-it" };
  const script = [
    'printf "K<<E\\n%s\\nE\\n" "$K" >> "$GITHUB_OUTPUT"',
    'printf "::add-mask::later-%s\\n" hidden',
    'printf "L=later-%s\\n" hidden >> "$GITHUB_ENV"',
  ].join('\n');
  const words = call('format', text('x {0} y'), path('secrets.KEY'));
  const step = run(script, {
    id: 'a',
    env: map({ K: expr(words) }),
    condition: { kind: 'compare', op: '!=', left: words, right: text('') },
  });
  await using host = await runToEnd({
    task: makeTask([step], { secrets: { ...secrets, ...DEBUG.secrets } }),
  });
  assert.equal(host.finished.conclusion, 'success', host.text());
  assert.ok(host.lines(0).includes("##[debug]L='***'"), host.text());
  assert.ok(host.text(0).includes("##[debug]Expanded: ('x *** y' != '')"), host.text());
  assert.doesNotMatch(host.text(), /line-of-it|later-hidden/);
  await using quiet = await runToEnd({ task: makeTask([step], { secrets }) });
  assert.deepEqual(debugOf(quiet.lines()), []);
});
