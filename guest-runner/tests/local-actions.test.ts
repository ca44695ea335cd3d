/** Actions of the repository: composite and JavaScript, with real files and a real runner process. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import type { UsesStep } from '@onejob/protocol';
import { TestHost } from './_host.ts';
import { call, expr, makeTask, map, path, run, uses } from './_task.ts';
import type { TaskParts } from './_task.ts';

/** Runs steps in a workspace that holds these files. */
async function runWith(
  files: Record<string, string>,
  steps: Parameters<typeof makeTask>[0],
  parts: TaskParts = {},
  prepare: (host: TestHost) => void = () => {},
): Promise<TestHost> {
  const host = new TestHost({ task: makeTask(steps, parts) });
  prepare(host);
  for (const [name, content] of Object.entries(files)) {
    const file = join(host.work, 'sample', 'sample', name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
  await host.start();
  await host.exit();
  assert.deepEqual(host.violations, []);
  return host;
}

const composite = (steps: string, rest = ''): string =>
  `name: x\ndescription: y\n${rest}runs:\n  using: composite\n  steps:\n${steps}`;

const node = (rest: string): string => `name: x\nruns:\n  using: node24\n  main: main.js\n${rest}`;

const local = (name: string, parts: Partial<UsesStep> = {}): UsesStep => uses(`./${name}`, parts);

test('a composite action runs its steps with its inputs, defaults and outputs', async () => {
  const action = composite(
    [
      '    - id: greet',
      '      run: echo "text=Hello ${{ inputs.who }} and ${{ inputs.other }}" >> "$GITHUB_OUTPUT"',
      '      shell: bash',
      '    - run: echo "at $GITHUB_ACTION_PATH ${{ github.action_path }}"',
      '      shell: bash',
      '',
    ].join('\n'),
    [
      'inputs:',
      '  who: { description: a, required: true }',
      '  other: { default: "${{ github.event_name }}" }',
      'outputs:',
      '  text: { description: b, value: "${{ steps.greet.outputs.text }}!" }',
      '',
    ].join('\n'),
  );
  await using host = await runWith({ 'hello/action.yml': action }, [
    local('hello', { id: 'hi', with: map({ Who: 'Ada' }) }),
    run(
      expr(
        call('format', { kind: 'literal', value: 'echo "[{0}]"' }, path('steps.hi.outputs.text')),
      ),
    ),
  ]);
  assert.equal(host.finished.conclusion, 'success', host.text());
  assert.match(
    host.text(0),
    /^##\[group\]Run \.\/hello\nwith:\n {2}Who: Ada\n {2}other: push\n##\[endgroup\]/m,
  );
  const directory = join(host.work, 'sample', 'sample', 'hello');
  assert.ok(host.lines(0).includes(`at ${directory} ${directory}`), host.text(0));
  assert.ok(host.lines(1).includes('[Hello Ada and push!]'), host.text(1));
  assert.deepEqual(
    host
      .steps()
      .filter((step) => step.index >= 0)
      .map((step) => step.name),
    ['Run ./hello', 'Run echo "[Hello Ada and push!]"'],
  );
});

test('a composite action fails by itself: its later steps follow its own status', async () => {
  const action = composite(
    [
      '    - { run: echo begins, shell: bash }',
      '    - { run: exit 3, shell: bash, continue-on-error: true, id: soft }',
      '    - { run: "echo soft ${{ steps.soft.outcome }} ${{ steps.soft.conclusion }}", shell: bash }',
      '    - { run: exit 4, shell: bash }',
      '    - { run: echo never, shell: bash }',
      '    - { run: "echo saved ${{ github.action_status }} ${{ job.status }}", shell: bash, if: failure() }',
      '    - { run: echo at the end, shell: bash, if: always() }',
      '',
    ].join('\n'),
  );
  await using host = await runWith({ 'a/action.yaml': action }, [
    run('exit 1'),
    local('a', { condition: call('always'), at: { line: 33, column: 15 } }),
  ]);
  const lines = host.lines(1);
  assert.ok(lines.includes('begins'), 'success() is of the action, not of the job');
  assert.ok(lines.includes('soft failure success'), host.text(1));
  assert.ok(!lines.includes('never'));
  assert.ok(lines.includes('saved failure failure'), host.text(1));
  assert.ok(lines.includes('at the end'));
  assert.equal(lines.filter((line) => line.includes('exit code 4')).length, 1);
  const [, second] = host.steps().filter((step) => step.index >= 0);
  assert.deepEqual([second?.outcome, second?.conclusion], ['failure', 'failure']);
});

test('the failure of a job names the step inside the action, and where that stands', async () => {
  const action = composite('    - { run: exit 4, shell: bash }\n');
  await using host = await runWith({ '.github/actions/a/action.yml': action }, [
    local('.github/actions/a', { at: { line: 33, column: 15 } }),
  ]);
  assert.match(
    host.finished.message,
    /^\.github\/workflows\/ci\.yml:33:15: step 'Run \.\/\.github\/actions\/a' failed: \.github\/actions\/a\/action\.yml:6:7: step 'Run exit 4' failed: Process completed with exit code 4\.$/,
  );
});

test('the environment of an action: the job below the step, and what its steps add is the job’s', async () => {
  const action = composite(
    [
      '    - { run: "echo 1:$A:$B:$C", shell: bash, env: { C: own } }',
      '    - { run: "echo A=added >> $GITHUB_ENV; echo B=added >> $GITHUB_ENV", shell: bash }',
      '    - { run: "echo 2:$A:$B:$C:${{ env.A }}:${{ env.B }}", shell: bash }',
      '',
    ].join('\n'),
  );
  await using host = await runWith(
    { 'a/action.yml': action },
    [local('a', { env: map({ B: 'step' }) }), run('echo "3:$A:$B:$C"')],
    { env: { A: 'run', B: 'run', C: 'run' } },
  );
  assert.ok(host.lines(0).includes('1:run:step:own'), host.text(0));
  assert.ok(host.lines(0).includes('2:added:step:run:added:step'), host.text(0));
  assert.ok(host.lines(1).includes('3:added:added:run'), host.text(1));
});

test('a JavaScript action gets its inputs, gives outputs, and keeps state for its post part', async () => {
  const main = [
    "const { appendFileSync } = require('node:fs');",
    "console.log('main', process.env['INPUT_MY-NAME'], process.env.INPUT_TWO_WORDS, process.cwd());",
    "appendFileSync(process.env.GITHUB_OUTPUT, 'sum=3\\n');",
    "appendFileSync(process.env.GITHUB_STATE, 'token=kept\\n');",
    "console.log('::save-state name=old::way');",
  ].join('\n');
  const post =
    "console.log('post', process.env.STATE_token, process.env.STATE_old, process.env['INPUT_MY-NAME']);";
  const action = node(
    '  post: post.js\ninputs: { my-name: { default: you }, two words: { default: "1 2" } }\n',
  );
  const files = { 'js/action.yml': action, 'js/main.js': main, 'js/post.js': post };
  await using host = await runWith(files, [
    local('js', { id: 'js', with: map({ 'my-name': 'Ada' }) }),
    run(
      expr(
        call('format', { kind: 'literal', value: 'echo "sum {0}"' }, path('steps.js.outputs.sum')),
      ),
    ),
  ]);
  assert.equal(host.finished.conclusion, 'success', host.text());
  assert.match(host.text(0), /^main Ada 1 2 .*\/work\/sample\/sample$/m);
  assert.ok(host.lines(1).includes('sum 3'));
  assert.match(host.text(0), /Post job cleanup\.\npost kept way Ada/);
  const posts = host.steps().filter((step) => step.phase === 'post' && step.index >= 0);
  assert.deepEqual(
    posts.map((step) => [step.name, step.conclusion]),
    [['Post Run ./js', 'success']],
  );
});

test('post parts run in reverse order, after a failure too, each by its condition', async () => {
  const action = (when: string): string =>
    node(`  post: post.js\n  post-if: ${when}\ninputs: { n: { default: "0" } }\n`);
  const script = (part: string): string => `console.log('${part}', process.env.INPUT_N)`;
  const folder = (name: string, when: string): Record<string, string> => ({
    [`${name}/action.yml`]: action(when),
    [`${name}/main.js`]: script('main'),
    [`${name}/post.js`]: script('post'),
  });
  const files = {
    ...folder('a', 'always()'),
    ...folder('b', 'success()'),
    ...folder('c', 'failure()'),
    'wrap/action.yml': composite(
      [
        '    - { uses: ./a, with: { n: inner 1 } }',
        '    - { uses: ./b, with: { n: inner 2 } }',
        '    - { uses: ./c, with: { n: inner 3 } }',
        '',
      ].join('\n'),
    ),
  };
  await using host = await runWith(files, [
    local('a', { with: map({ n: 'outer 1' }) }),
    local('wrap'),
    local('b', { with: map({ n: 'outer 2' }) }),
    run('exit 1'),
    local('c', { with: map({ n: 'never' }) }),
  ]);
  const said = host.lines().filter((line) => /^(?:main|post) /.test(line));
  assert.deepEqual(said, [
    ...['main outer 1', 'main inner 1', 'main inner 2', 'main inner 3', 'main outer 2'],
    ...['post inner 3', 'post inner 1', 'post outer 1'],
  ]);
  const posts = host.steps().filter((step) => step.phase === 'post' && step.index >= 0);
  assert.deepEqual(
    posts.map((step) => [step.name, step.conclusion]),
    [
      ['Post Run ./b', 'skipped'],
      ['Post Run ./wrap', 'success'],
      ['Post Run ./a', 'success'],
    ],
  );
});

test('a post part that fails fails the job', async () => {
  const files = {
    'a/action.yml': node('  post: post.js\n'),
    'a/main.js': '',
    'a/post.js': 'process.exit(7)',
  };
  await using host = await runWith(files, [local('a')]);
  assert.equal(host.finished.conclusion, 'failure');
  assert.match(host.finished.message, /step 'Post Run \.\/a' failed: .*exit code 7/);
});

test('composite actions nest nine deep and no deeper, also into themselves', async () => {
  const action = composite('    - { run: echo deeper, shell: bash }\n    - uses: ./a\n');
  await using host = await runWith({ 'a/action.yml': action }, [local('a')]);
  assert.equal(host.lines(0).filter((line) => line === 'deeper').length, 9);
  assert.match(host.finished.message, /Composite action depth exceeded max depth 9/);
});

const WRONG: Record<string, { files: Record<string, string>; says: RegExp }> = {
  'an action that is not there': {
    files: {},
    says: /Can't find 'action\.yml', 'action\.yaml' or 'Dockerfile' under '.*\/a'\. Did you forget to run actions\/checkout/,
  },
  'a Dockerfile': {
    files: { 'a/Dockerfile': 'FROM x' },
    says: /runs in a container, which onejob cannot start yet/,
  },
  'no runs': {
    files: { 'a/action.yml': 'name: x' },
    says: /Failed to load a\/action\.yml: a\/action\.yml:1:1: Top level 'runs:' section is required/,
  },
  'an unknown kind': {
    files: { 'a/action.yml': 'runs:\n  using: go\n  main: x' },
    says: /a\/action\.yml:2:10: 'using: go' is not supported/,
  },
  'a script that is not there': {
    files: { 'a/action.yml': node('') },
    says: /File not found: '.*\/a\/main\.js'/,
  },
  'a run step without a shell': {
    files: { 'a/action.yml': composite('    - run: echo\n') },
    says: /a\/action\.yml:6:7: Required property is missing: shell/,
  },
  'an unknown context': {
    files: { 'a/action.yml': composite('    - { run: "echo ${{ secrets.X }}", shell: bash }\n') },
    says: /Unrecognized named-value: 'secrets'/,
  },
  'broken YAML': {
    files: { 'a/action.yml': 'runs: [' },
    says: /a\/action\.yml:1:8: You have an error in your yaml syntax/,
  },
};
for (const [name, { files, says }] of Object.entries(WRONG)) {
  test(`${name} fails the step with its place`, async () => {
    await using host = await runWith(files, [local('a')]);
    assert.equal(host.finished.conclusion, 'failure');
    assert.match(host.finished.message, says);
    assert.match(host.text(0), /##\[error\]/);
  });
}

test('deprecated and unknown inputs are warnings, and so is a local pre', async () => {
  const files = {
    'a/action.yml': node(
      '  pre: pre.js\ninputs: { old: { deprecationMessage: use new }, new: {} }\n',
    ),
    'a/main.js': '',
  };
  await using host = await runWith(files, [local('a', { with: map({ OLD: '1', other: '2' }) })]);
  const text = host.text(0);
  assert.match(text, /##\[warning\]Input 'OLD' has been deprecated with message: use new/);
  assert.match(
    text,
    /##\[warning\]Unexpected input\(s\) 'other', valid inputs are \['old', 'new'\]/,
  );
  assert.match(text, /##\[warning\]`pre` execution is not supported for local action from '\.\/a'/);
  assert.equal(host.finished.conclusion, 'success');
});

const POST_ACTION = {
  'p/action.yml': node('  post: post.js\n'),
  'p/main.js': '',
  'p/post.js': "console.log('post ran')",
};

test('a step that takes too long ends all of its action, and what was begun has its post part', async () => {
  const action = composite(
    [
      '    - uses: ./p',
      '    - { run: echo begins; sleep 60, shell: bash }',
      '    - { run: echo never, shell: bash, if: always() }',
      '',
    ].join('\n'),
  );
  await using host = await runWith({ 'a/action.yml': action, ...POST_ACTION }, [
    local('a', { timeoutMinutes: 0.06 }),
    run('echo "after"', { condition: call('failure') }),
  ]);
  const lines = host.lines();
  assert.ok(lines.includes('begins'), host.text());
  assert.ok(!lines.includes('never'), 'a step of an action that is over was begun');
  assert.ok(lines.includes('post ran'));
  assert.ok(lines.includes('after'));
  const step = host.steps().find(({ index, phase }) => index === 0 && phase === 'main');
  assert.equal(step?.conclusion, 'failure');
  assert.match(host.finished.message, /The action 'Run \.\/a' has timed out after 0\.06 minutes/);
});

test('a cancelled job ends the step inside an action; always() and post parts still run', async () => {
  const action = composite(
    [
      '    - uses: ./p',
      '    - { run: echo begins; sleep 60, shell: bash }',
      '    - { run: echo never, shell: bash }',
      '    - { run: "echo cleaned ${{ github.action_status }}", shell: bash, if: always() }',
      '    - { run: echo saw it, shell: bash, if: cancelled() }',
      '',
    ].join('\n'),
  );
  const host = new TestHost({ task: makeTask([local('a'), run('echo later')]) });
  await using _ = host;
  for (const [name, content] of Object.entries({ 'a/action.yml': action, ...POST_ACTION })) {
    const file = join(host.work, 'sample', 'sample', name);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, content);
  }
  host.onRow = ({ text }) => {
    if (text !== 'begins') return;
    host.send({ type: 'cancel', reason: 'cancelled', graceMs: 20_000, timeoutMs: 300_000 });
  };
  await host.start();
  await host.exit();
  const lines = host.lines();
  assert.ok(!lines.includes('never') && !lines.includes('later'), host.text());
  for (const line of ['cleaned cancelled', 'saw it', 'post ran']) {
    assert.ok(lines.includes(line), `${line}:\n${host.text()}`);
  }
  const step = host.steps().find(({ index, phase }) => index === 0 && phase === 'main');
  assert.equal(step?.conclusion, 'cancelled');
  assert.equal(host.finished.conclusion, 'cancelled');
});

test('a running post part goes on when the job is cancelled, unless its condition forbids', async () => {
  const post = "console.log('begins'); setTimeout(() => console.log('whole'), 1_000);";
  for (const [used, when, isWhole] of [
    ['a', 'always()', true],
    ['a', 'success()', false],
    ['wrap', 'always()', true],
    ['wrap', 'success()', false],
  ] as const) {
    const files = {
      'a/action.yml': node(`  post: post.js\n  post-if: ${when}\n`),
      'a/main.js': '',
      'a/post.js': post,
      'wrap/action.yml': composite('    - uses: ./a\n'),
    };
    await using host = await runWith(files, [local(used)], {}, (one) => {
      one.onRow = ({ text }) => {
        if (text !== 'begins') return;
        one.send({ type: 'cancel', reason: 'cancelled', graceMs: 20_000, timeoutMs: 300_000 });
      };
    });
    assert.equal(host.lines(0).includes('whole'), isWhole, host.text());
    const ended = host.steps().find(({ index, phase }) => index === 0 && phase === 'post');
    assert.equal(ended?.conclusion, isWhole ? 'success' : 'cancelled');
    assert.equal(host.finished.conclusion, 'cancelled');
  }
});

test('commands of one inner step end with it: stopped commands, added masks, annotations', async () => {
  const action = composite(
    [
      '    - { run: "echo ::stop-commands::t0ken; echo ::error::not a command", shell: bash }',
      '    - { run: "echo ::warning file=a.txt,line=2::seen; echo ::add-mask::hid-den", shell: bash }',
      '    - { run: "echo hid-den", shell: bash }',
      '',
    ].join('\n'),
  );
  await using host = await runWith({ 'a/action.yml': action }, [local('a')]);
  const annotations = host.messages.filter((message) => message.type === 'annotation');
  assert.deepEqual(
    annotations.map(({ index, annotation }) => [index, annotation.level, annotation.message]),
    [[0, 'warning', 'seen']],
  );
  assert.ok(host.lines(0).includes('***'));
});
