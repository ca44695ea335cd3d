import assert from 'node:assert/strict';
import { test } from 'node:test';
import { makePlan, makePlannedJob } from './_plan.ts';
import { showPlan } from './plan.ts';
import { painter } from './style.ts';

const file = '.github/workflows/ci.yml';
const leg = (name: string) => ({ name, runsOn: ['ubuntu\x9b2J'], matrix: {}, values: null });
const value = (name: string, text: string, known = true) => ({ name, value: text, known });
const job = makePlannedJob({
  key: 'a',
  name: 'a\x1b[2J',
  runsOn: ['ubuntu\x9b2J'],
  legs: [leg('a (\x1b[2J1)'), leg('a (2)')],
  env: [value('E', 'one\ntwo\x1b[2J'), value('', '${{ fromJSON(secrets.X) }}', false)],
  steps: [
    { title: 'Run \x1b[2Jmake', runs: null, env: [], with: [] },
    { title: 'never', runs: false, env: [], with: [value('ref', 'main')] },
  ],
});
const plan = makePlan([job], {
  name: 'c\x1b]0;evil\x07i',
  inputs: [value('who', 'me')],
  referencedWorkflows: [{ path: 'a/b/\x1b[2Jc.yml@v1', ref: 'v1', sha: 'a'.repeat(40) }],
  env: [value('ALL', 'jobs')],
  warnings: [{ file, line: 2, column: 1, message: 'is not\napplied yet\x1b[2J' }],
});
const warning = `${file}:2:1: warning: is not applied yet`;

test('a list shows each job with the answer to whether it would run', () => {
  const list = showPlan(plan, painter(false), false).split('\n');
  assert.deepEqual(list, [
    `ci  ${file}  on: push  runs`,
    'job  name  machines  needs  runs-on   would it run?',
    'a    a     2         -      ubuntu2J  yes',
    warning,
  ]);
  const says = (given: Parameters<typeof makePlannedJob>[0]): string =>
    showPlan(makePlan([makePlannedJob(given)]), painter(false), false).split('linux')[1] ?? '';
  assert.match(
    says({ verdict: { state: 'skipped', why: '`if` is false: x' } }),
    /^ +no, `if` is false: x$/,
  );
  assert.match(says({ verdict: { state: 'open', why: 'if a succeeds' } }), /^ +if a succeeds$/);
  assert.match(says({ verdict: { state: 'fails', why: 'boom' } }), /^ +fails, boom$/);
  assert.match(says({ refused: 'no such thing' }), /^ +refused: no such thing$/);
});

test('a dry run shows legs, values and steps, one line each, and what is not known as its expression', () => {
  const steps = showPlan(plan, painter(false), true).split('\n');
  assert.deepEqual(steps, [
    `ci  ${file}  on: push  runs`,
    '  inputs who=me',
    '  env ALL=jobs',
    '  a (1)  runs-on ubuntu2J',
    '  a (2)  runs-on ubuntu2J',
    '    would it run? yes',
    String.raw`    env E="one\ntwo\u001b[2J"`,
    '    env ${{ fromJSON(secrets.X) }}',
    '      1. Run make',
    '      2. never  (skipped: its `if` is false)',
    '         with ref=main',
    `  calls a/b/c.yml@v1, which is ${'a'.repeat(40)}`,
    warning,
  ]);
});

test('legs that differ have their values below them, the rest of them stand together', () => {
  const own = (at: string) => ({
    ...leg(`a (${at})`),
    values: {
      settings: [value('timeout-minutes', at), value('outputs.x', '${{ steps.x }}\x1b[2J', false)],
      env: [value('N', at)],
      steps: [{ title: `Run ${at}`, runs: null, env: [], with: [] }],
    },
  });
  const legs = [own('1'), own('2'), leg('a (3)'), leg('a (4)')];
  const lines = (given: Parameters<typeof makePlannedJob>[0], of: Parameters<typeof makePlan>[1]) =>
    showPlan(makePlan([makePlannedJob(given)], of), painter(false), true)
      .split('\n')
      .slice(1);
  const block = (at: string) => [
    ...[`  a (${at})  runs-on ubuntu2J`, '    would it run? yes', `    timeout-minutes: ${at}`],
    ...['    outputs.x: ${{ steps.x }}', `    env N=${at}`, `      1. Run ${at}`],
  ];
  const settings = [value('run-name', 'Deploy\nit')];
  assert.deepEqual(
    lines({ legs, steps: [{ title: 'Run x', runs: null, env: [], with: [] }] }, { settings }),
    [
      String.raw`  run-name: "Deploy\nit"`,
      ...block('1'),
      ...block('2'),
      ...['  a (3)  runs-on ubuntu2J', '  a (4)  runs-on ubuntu2J'],
      ...['    would it run? yes', '      1. Run x'],
    ],
  );
  assert.deepEqual(lines({ legs: [own('1')] }, {}), block('1'));
  assert.deepEqual(lines({ legs: [] }, {}), ['    would it run? yes']);
});

test('a workflow that does not run says why', () => {
  const [head] = showPlan(
    makePlan([], { triggered: false, why: 'of `on`' }),
    painter(false),
    true,
  ).split('\n');
  assert.equal(head, `ci  ${file}  on: push  does not run: of \`on\``);
});
