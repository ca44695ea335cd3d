/** Parsing: what a file becomes, and every sentence with its place in the file as written. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FILE, jobWith, parsed, problemsOf } from '../../tests/_workflows.ts';
import { evaluateTemplate } from '../evaluate/index.ts';
import { parseWorkflow } from './workflow.ts';

const OK = 'jobs: { a: { runs-on: x, steps: [{ run: a }] } }\n';
const steps = (body: string) => `on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n${body}`;

test('a whole workflow becomes data that survives JSON', () => {
  const workflow = parsed(`name: CI
run-name: Deploy by \${{ github.actor }}
on: { push: { branches: main }, schedule: [{ cron: '0 5 * * 1' }] }
env: { A: 1 }
defaults: { run: { shell: bash } }
jobs:
  build:
    runs-on: [self-hosted, linux]
    outputs: { v: "\${{ steps.v.outputs.v }}" }
    steps:
      - uses: actions/checkout@v4
        with: { fetch-depth: 0 }
      - { id: v, run: make, if: failure(), continue-on-error: true, timeout-minutes: 5 }
      - run: 'true'
      - run: 'true'
  test:
    needs: [build, build]
    runs-on: linux
    steps: [{ run: a, shell: sh, working-directory: sub }]
`);
  assert.deepEqual(JSON.parse(JSON.stringify(workflow)), workflow);
  assert.equal(workflow.name, 'CI');
  assert.deepEqual(
    workflow.triggers.map((t) => [t.event, t.branches?.patterns ?? null, t.schedules[0]?.cron]),
    [
      ['push', ['main'], undefined],
      ['schedule', null, '0 5 * * 1'],
    ],
  );
  const [build, later] = workflow.jobs;
  assert.deepEqual(later?.needs, ['build']);
  assert.equal(build?.conditionSource, 'success()');
  assert.deepEqual(build?.at, { line: 7, column: 3 });
  assert.deepEqual(
    build?.steps.map((step) => [step.id, step.kind, step.at.line]),
    [
      ['__actions_checkout', 'uses', 11],
      ['v', 'run', 13],
      ['__run', 'run', 14],
      ['__run_2', 'run', 15],
    ],
  );
  const [checkout, v] = build?.steps ?? [];
  assert.ok(checkout?.kind === 'uses');
  assert.deepEqual(checkout.action, {
    kind: 'repository',
    owner: 'actions',
    repository: 'checkout',
    path: '',
    ref: 'v4',
  });
  assert.deepEqual(v?.condition, { kind: 'call', name: 'failure', args: [] });
});

test('a workflow without a name is called by its file', () => {
  assert.equal(parsed(`on: push\n${OK}`).name, FILE);
});

test('block scalars, folded text and quotes with expressions keep the text they mean', () => {
  const cases: [string, string][] = [
    ['|\n          a "b"\n            c \'d\' ${{ 1 }}\n          e', 'a "b"\n  c \'d\' 1\ne\n'],
    ['>-\n          a\n          b ${{ 1 }}\n\n          c', 'a b 1\nc'],
    ['"x\\ty ${{ \'q\' }}\\n"', 'x\ty q\n'],
    ["'it''s ${{ ''a ''''b'''' c'' }}'", "it's a 'b' c"],
    ['"{ ${{ 1 }} }"', '{ 1 }'],
    ['"${{ \'literal\' }}"', 'literal'],
    ['${{ github.ref }}', 'main'],
    ["|\n          'a' 'b' ${{ 1 }} 'c'", "'a' 'b' 1 'c'\n"],
  ];
  for (const [written, meant] of cases) {
    const { job } = jobWith('steps:', `  - run: ${written}`);
    const [step] = job.steps;
    assert.ok(step?.kind === 'run');
    const contexts = { github: { ref: 'main' } };
    assert.equal(evaluateTemplate(step.script, { contexts }), meant, written);
  }
});

test('a full SHA in capitals names the same commit, any other ref stays as written', () => {
  const sha = 'ABCDEF0123456789ABCDEF0123456789ABCDEF01';
  const cases = [
    [`o/r@${sha}`, sha.toLowerCase()],
    [`https://git.example/o/r/path@${sha}`, sha.toLowerCase()],
    [`o/r@${sha.slice(1)}`, sha.slice(1)],
    [`o/r@${sha}0`, `${sha}0`],
    ['o/r@V1', 'V1'],
  ] as const;
  for (const [uses, ref] of cases) {
    const [step] = jobWith('steps:', `  - uses: ${uses}`).job.steps;
    assert.ok(step?.kind === 'uses' && 'ref' in step.action);
    assert.equal(step.action.ref, ref, uses);
    assert.equal(step.uses, uses, 'what people see is what they wrote');
  }
});

test('an expression knows where it stands, in block scalars too', () => {
  const { job } = jobWith(
    'env:',
    '  A: "x ${{ github.ref }}"',
    '  B: |',
    '    one',
    '      two ${{ github.ref }}',
  );
  assert.ok(job.env !== null && typeof job.env === 'object' && 'map' in job.env);
  const places = job.env.map.map((entry) => {
    assert.ok('value' in entry && entry.value !== null && typeof entry.value === 'object');
    return 'at' in entry.value ? entry.value.at : null;
  });
  assert.deepEqual(places, [
    { line: 6, column: 13 },
    { line: 9, column: 15 },
  ]);
});

test('anchors and aliases work, merge keys do not, as on GitHub', () => {
  const { job } = jobWith('env: &e { A: 1 }', 'steps: [{ run: a, env: *e }]');
  assert.deepEqual(job.steps[0]?.env, job.env);
  assert.deepEqual(
    problemsOf(`on: push\nenv: &e { A: 1 }\njobs:\n  a:\n    <<: *e\n    runs-on: x\n`),
    ["5:5 Unexpected value '<<'"],
  );
});

test('numbers and booleans as keys are the text they would be', () => {
  const { job } = jobWith('env: { 1: a, true: b, 0x10: c }');
  assert.deepEqual(evaluateTemplate(job.env, { contexts: {} }), { 1: 'a', true: 'b', '0x10': 'c' });
});

test('keys of Object.prototype are names like any other', () => {
  const { job, workflow } = jobWith(
    'env: { constructor: a, __proto__: b }',
    'strategy: { matrix: { constructor: [1] } }',
  );
  assert.deepEqual(Object.keys(evaluateTemplate(job.env, { contexts: {} }) as object), [
    'constructor',
    '__proto__',
  ]);
  assert.equal(workflow.jobs.length, 1);
  assert.deepEqual(problemsOf(`on: push\nconstructor: 1\n${OK}`), [
    "2:1 Unexpected value 'constructor'",
  ]);
});

/** Text, and the problems in it. Sentences are GitHub's. */
const WRONG: Record<string, [string, string[]]> = {
  'broken YAML': [
    'on: push\njobs:\n  a:\n   runs-on: x\n    steps: []\n',
    [
      '4:13 You have an error in your yaml syntax on line 4: Nested mappings are not allowed in compact mappings',
      '4:13 You have an error in your yaml syntax on line 4: Implicit keys need to be on a single line',
    ],
  ],
  'an unknown key of the file': [`on: push\nfoo: 1\n${OK}`, ["2:1 Unexpected value 'foo'"]],
  'an unknown key of a job': [
    steps('      - run: a\n    step: 1\n'),
    ["7:5 Unexpected value 'step'"],
  ],
  'an unknown key of a step': [
    steps('      - run: a\n        with: {}\n'),
    ["7:9 Unexpected value 'with'"],
  ],
  'a snapshot of a machine': [
    steps('      - run: a\n    snapshot: { image-name: i, version: 1.* }\n'),
    ["7:5 The key 'snapshot' is not allowed"],
  ],
  'more inputs of workflow_dispatch than 25': [
    `on:\n  workflow_dispatch:\n    inputs:\n${Array.from({ length: 27 }, (_, i) => `      i${i}:\n`).join('')}${OK}`,
    ['29:7 you may only define up to 25 `inputs` for a `workflow_dispatch` event'],
  ],
  'an unknown event': [`on: pushed\n${OK}`, ["1:5 Unexpected value 'pushed'"]],
  'an unknown activity': [
    `on: { issues: { types: [foo] } }\n${OK}`,
    ["1:25 Unexpected value 'foo'"],
  ],
  'a missing runs-on': [
    'on: push\njobs:\n  a:\n    steps: [{ run: a }]\n',
    ['4:5 Required property is missing: runs-on'],
  ],
  'missing jobs': ['on: push\n', ['1:1 Required property is missing: jobs']],
  'missing on': [OK, ['1:1 Required property is missing: on']],
  'a job without steps': [
    'on: push\njobs:\n  a:\n    runs-on: x\n',
    ['3:3 No steps defined in `steps` and no workflow called in `uses` for the following jobs: a'],
  ],
  'an empty file': ['', ['1:1 The workflow file is empty']],
  'a list': ['- a\n', ['1:1 A sequence was not expected']],
  'a step id twice': [
    steps('      - { id: x, run: a }\n      - { id: x, run: b }\n'),
    ["7:15 The identifier 'x' may not be used more than once within the same scope."],
  ],
  'a key twice': [steps('      - run: a\n        run: b\n'), ["7:9 'run' is already defined"]],
  'an expression that ends too early': [
    steps('      - run: echo ${{ github. }}\n'),
    ["6:19 Unexpected end of expression: '.'. Located at position 7 within expression: github."],
  ],
  'an unknown context in a block scalar': [
    steps('      - run: |\n          echo one\n            "${{ github.ref }} ${{ nope.x }}"\n'),
    ["8:32 Unrecognized named-value: 'nope'. Located at position 1 within expression: nope.x"],
  ],
  'an unknown context in folded text': [
    steps('      - run: >-\n          one\n          two\n\n          ${{ nope }} x\n'),
    ["10:11 Unrecognized named-value: 'nope'. Located at position 1 within expression: nope"],
  ],
  'two wrong expressions behind escapes': [
    steps('      - run: "a\\t${{ nope }} \\" ${{ github.ref }} ${{ a b }}"\n'),
    [
      "6:18 Unrecognized named-value: 'nope'. Located at position 1 within expression: nope",
      "6:51 Unrecognized named-value: 'a'. Located at position 1 within expression: a b",
    ],
  ],
  'an expression that is not closed': [
    steps('      - run: echo ${{ github.ref\n'),
    [
      '6:14 The expression is not closed. An unescaped ${{ sequence was found, but the closing }} sequence was not found.',
    ],
  ],
  'an empty expression': [steps('      - run: echo ${{ }}\n'), ['6:19 An expression was expected']],
  'a context not allowed in a job condition': [
    'on: push\njobs:\n  a:\n    if: secrets.X == 1\n    runs-on: x\n    steps: [{ run: a }]\n',
    [
      "4:9 Unrecognized named-value: 'secrets'. Located at position 1 within expression: secrets.X == 1",
    ],
  ],
  'a context not allowed in env': [
    `on: push\nenv:\n  A: \${{ matrix.x }}\n${OK}`,
    ["3:6 Unrecognized named-value: 'matrix'. Located at position 1 within expression: matrix.x"],
  ],
  'an unknown function': [
    steps('      - run: a\n        if: foo(1)\n'),
    ["7:13 Unrecognized function: 'foo'. Located at position 1 within expression: foo(1)"],
  ],
  'a function of Object.prototype': [
    steps('      - run: ${{ constructor() }}\n'),
    [
      "6:14 Unrecognized function: 'constructor'. Located at position 1 within expression: constructor()",
    ],
  ],
  'too few arguments': [
    steps('      - run: a\n        if: contains(1)\n'),
    [
      "7:13 Too few parameters supplied: 'contains'. Located at position 1 within expression: contains(1)",
    ],
  ],
  'a filter and its ignore form': [
    `on:\n  push:\n    branches: [a]\n    branches-ignore: [b]\n${OK}`,
    ['4:5 you may only define one of `branches` and `branches-ignore` for a single event'],
  ],
  'a cron line that is none': [
    `on:\n  schedule:\n    - cron: "x * * * *"\n${OK}`,
    ["3:13 Invalid cron expression. Expected format: '* * * * *' (minute hour day month weekday)"],
  ],
  'a step that does nothing': [
    steps('      - name: a\n'),
    [
      "6:9 There's not enough info to determine what you meant. Add one of these properties: run, shell, uses, with, working-directory",
    ],
  ],
  'uses without a ref': [
    steps('      - uses: checkout\n'),
    ["6:15 Expected format {owner}/{repo}[/path]@{ref}. Actual 'checkout'"],
  ],
  'a step of the parallel preview': [
    steps('      - parallel: [{ run: a }]\n'),
    ["6:9 Unexpected value 'parallel'"],
  ],
  'a timeout that is no number': [
    steps('      - run: a\n        timeout-minutes: soon\n'),
    ["7:26 Unexpected value 'soon'"],
  ],
  'an alias without an anchor': ['on: *x\n', ["1:5 The alias '*x' has no anchor before it"]],
  'an alias in itself': [`on: &a { push: *a }\n${OK}`, ["1:16 The alias '*a' contains itself"]],
  'a mapping as a key': [`? [a]\n: b\non: push\n${OK}`, ['1:3 A mapping key must be a scalar']],
};

for (const [name, [text, problems]] of Object.entries(WRONG)) {
  test(`${name} is said with its place`, () => assert.deepEqual(problemsOf(text), problems));
}

test('at most ten problems are listed, then how many more there are', () => {
  const keys = Array.from({ length: 30 }, (_, i) => `k${i}: 1\n`).join('');
  const problems = problemsOf(`on: push\n${keys}${OK}`);
  assert.equal(problems.length, 11);
  assert.equal(problems[9], "11:1 Unexpected value 'k9'");
  assert.equal(problems[10], '12:1 and 20 more');
});

test('what is read and not applied yet is a warning with its place', () => {
  const text = `run-name: x
on: { push: , schedule: [{ cron: '0 5 * * 1' }], image_version: { names: [i], versions: [1.*] } }
concurrency: g
jobs:
  a:
    environment: prod
    concurrency: g
    cancel-timeout-minutes: 1
    runs-on: x
    steps: [{ run: a }]
`;
  const result = parseWorkflow({ file: FILE, text });
  assert.ok(result.ok);
  assert.deepEqual(
    result.warnings.map((w) => `${w.file}:${w.line}:${w.column} ${w.message.split(' ')[2]}`),
    [
      `${FILE}:2:15 \`schedule\``,
      `${FILE}:2:50 \`image_version\``,
      `${FILE}:6:5 \`environment\``,
      `${FILE}:8:5 \`cancel-timeout-minutes\``,
    ],
  );
});

test('a schedule that asks for less than five minutes is a warning with its place', () => {
  const lines = ['* * * * *', '*/4 * * * *', '0,3,30 * * * *', '10-20 * * * *', '*/5 * * * *'];
  const crons = lines.map((cron) => `    - cron: '${cron}'\n`).join('');
  const result = parseWorkflow({ file: FILE, text: `on:\n  schedule:\n${crons}${OK}` });
  assert.ok(result.ok);
  const often = result.warnings.filter(({ message }) => message.includes('five minutes'));
  assert.deepEqual(
    often.map(({ line }) => line),
    [3, 4, 5, 6],
  );
});

test('a schedule has five fields in their ranges, names of months and days, and an IANA time zone', () => {
  const refused = (entry: string): string | undefined =>
    problemsOf(`on:\n  schedule:\n    - ${entry}\n${OK}`)[0];
  for (const cron of ['5 4 * jan-MAR sun,Fri', '0 0 1,15 * 3', '30 5-17/2 * * *', '3/5 * * * *']) {
    assert.equal(refused(`cron: '${cron}'`), undefined, cron);
  }
  for (const cron of [
    '@daily',
    '0 5 * *',
    '0 5 * * * *',
    '60 * * * *',
    '0 0 * * 7',
    '0 0 0 * *',
    'L * * * *',
    '',
  ]) {
    assert.match(refused(`cron: '${cron}'`) ?? '', /^3:(13|7) /, cron);
  }
  assert.equal(refused(`{ cron: '0 5 * * *', timezone: Europe/Berlin }`), undefined);
  for (const zone of ['Europe/Atlantis', '"+01:00"']) {
    assert.match(
      refused(`{ cron: '0 5 * * *', timezone: ${zone} }`) ?? '',
      /^3:38 .* is no time zone: write an IANA name/,
      zone,
    );
  }
});

test('at most ten warnings are listed, then how many more there are', () => {
  const job = (n: number) => `  j${n}: { runs-on: x, environment: e, steps: [{ run: a }] }\n`;
  const text = `on: push\njobs:\n${Array.from({ length: 30 }, (_, n) => job(n)).join('')}`;
  const result = parseWorkflow({ file: FILE, text });
  assert.ok(result.ok);
  assert.equal(result.warnings.length, 11);
  assert.deepEqual(result.warnings[10], {
    file: FILE,
    line: 13,
    column: 22,
    message: 'and 20 more',
  });
});

test('env may be one expression, for a job and for a step', () => {
  const { jobs } = parsed(
    'on: push\njobs:\n  a:\n    runs-on: x\n    env: ${{ fromJSON(vars.ENV) }}\n' +
      '    steps:\n      - { run: a, env: "${{ matrix.env }}" }\n',
  );
  assert.ok(typeof jobs[0]?.env === 'object' && 'expr' in (jobs[0].env ?? {}));
  assert.ok(typeof jobs[0].steps[0]?.env === 'object' && 'expr' in (jobs[0].steps[0].env ?? {}));
});
