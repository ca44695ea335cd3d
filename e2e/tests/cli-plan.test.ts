/** What a run would be, shown and not run: --list, --graph, --dry-run. */
import assert from 'node:assert/strict';
import { after, test, type TestContext } from 'node:test';
import type { Plan } from '@onejob/protocol';
import { makeCheckout } from '@onejob/testing';
import { CommandLine } from './_command-line.ts';

const WORKFLOW = `name: ci
on:
  push: { branches: [main] }
  workflow_dispatch: { inputs: { who: { default: nobody } } }
env: { TOKEN: '\${{ secrets.TOKEN }}' }
jobs:
  lint: { runs-on: ubuntu-latest, steps: [{ run: echo lint }] }
  build:
    runs-on: ubuntu-latest
    strategy: { matrix: { node: [22, 24] } }
    steps: [{ run: 'echo \${{ matrix.node }} on \${{ github.ref_name }}' }]
  test:
    needs: [lint, build]
    runs-on: ubuntu-latest
    env: { COLOR: '\${{ vars.COLOR }}', WHO: 'to \${{ inputs.who }}' }
    steps:
      - run: echo test
      - if: github.event_name == 'schedule'
        run: echo never
  release:
    needs: test
    if: github.ref == 'refs/heads/release'
    runs-on: ubuntu-latest
    steps: [{ run: echo release }]
  after: { needs: release, runs-on: ubuntu-latest, steps: [{ run: echo after }] }
`;
const checkout = makeCheckout({ '.github/workflows/ci.yml': WORKFLOW });
const line = await CommandLine.served();
after(async () => {
  await checkout[Symbol.asyncDispose]();
  await line[Symbol.asyncDispose]();
});
const directory = checkout.directory;

test('--list says of each job whether this event would run it, and why', async () => {
  const { code, stdout } = await line.run(['run', '--list'], { directory });
  assert.equal(code, 0);
  assert.match(stdout, /^lint .* yes$/m);
  assert.match(stdout, /^test .* if lint, build succeed$/m);
  assert.match(stdout, /^release .* no, `if` is false: github\.ref == 'refs\/heads\/release'$/m);
  assert.match(stdout, /^after .* no, it needs release, which would be skipped$/m);
  const other = await line.run(['run', '--list', '-e', 'release'], { directory });
  assert.match(
    other.stdout,
    /^lint .* no, the workflow does not run: `on` does not name 'release'/m,
  );
});

test('--graph draws what needs what, the same in a pipe and on a terminal but for colours', async () => {
  const piped = await line.run(['run', '--graph'], { directory });
  assert.equal(piped.code, 0, piped.stderr);
  assert.match(
    piped.stdout,
    /^lint {2}yes\n└─ test {2}also needs build · if lint, build succeed$/m,
  );
  assert.match(piped.stdout, /^ {3}└─ release {2}no, /m);
  assert.match(piped.stdout, /^build {2}2 machines: \(22\), \(24\) · yes$/m);
  const { stdout } = await line.onTerminal(['run', '--graph'], { directory }).ended;
  assert.match(stdout, /\x1b\[1mlint/);
  const plain = stdout.replaceAll(/\x1b\[\d+m|\r/g, '');
  assert.equal(plain, piped.stdout);
});

test('--dry-run shows values as far as they are known, and no secret', async () => {
  const words = ['run', '--dry-run', '-e', 'workflow_dispatch', '--input', 'who=me'];
  words.push('--var', 'COLOR=blue', '-s', 'TOKEN=s3cr3t-value', '--env', 'SIZE=large');
  const { code, stdout } = await line.run(words, { directory });
  assert.equal(code, 0);
  assert.match(stdout, /^ {2}inputs who=me$/m);
  assert.match(stdout, /^ {4}env COLOR=blue\n {4}env WHO=to me$/m);
  assert.match(stdout, /^ {2}env SIZE=large\n {2}env TOKEN=\$\{\{ secrets\.TOKEN \}\}$/m);
  for (const node of [22, 24]) {
    const leg = `  build (${node})  runs-on ubuntu-latest\n    would it run? yes\n      1. Run echo ${node} on main\n`;
    assert.ok(stdout.includes(leg), stdout);
  }
  assert.match(stdout, /^ {6}2\. Run echo never {2}\(skipped: its `if` is false\)$/m);
  assert.doesNotMatch(stdout, /s3cr3t/);
  const json = await line.run([...words, '--json', '--graph'], { directory });
  assert.doesNotMatch(json.stdout, /s3cr3t/);
  const [workflow] = (JSON.parse(json.stdout) as Plan).workflows;
  const verdicts = workflow?.jobs.map(({ key, verdict }) => `${key} ${verdict.state}`);
  assert.deepEqual(verdicts, [
    ...['lint runs', 'build runs', 'test open', 'release skipped', 'after skipped'],
  ]);
  assert.deepEqual(
    workflow?.jobs[1]?.legs?.map(({ matrix }) => matrix),
    [{ node: '22' }, { node: '24' }],
  );
});

const otherCheckout = (t: TestContext, files: Record<string, string>) => {
  const other = makeCheckout(files);
  t.after(async () => await other[Symbol.asyncDispose]());
  return other;
};

test('--dry-run shows the settings of workflow and jobs, and of each leg its own', async (t) => {
  const other = otherCheckout(t, {
    '.github/workflows/set.yml': `name: settings
run-name: 'Deploy \${{ github.ref_name }} as \${{ github.run_number }}'
on: push
concurrency: { group: 'set-\${{ github.ref }}', cancel-in-progress: true }
permissions: { contents: read }
jobs:
  one:
    runs-on: ubuntu-latest
    strategy: { matrix: { size: [small, large], include: [{ size: large, minutes: 90 }] } }
    permissions: write-all
    environment: { name: 'stage-\${{ matrix.size }}' }
    concurrency: 'one-\${{ matrix.size }}'
    timeout-minutes: \${{ matrix.minutes || 5 }}
    continue-on-error: \${{ matrix.size == 'large' }}
    outputs: { sha: '\${{ steps.a.outputs.sha }}' }
    steps: [{ id: a, if: matrix.size == 'small', run: 'make \${{ matrix.size }}' }]
  same:
    runs-on: ubuntu-latest
    strategy: { matrix: { n: [1, 2] } }
    steps: [{ run: make }]
`,
  });
  const { code, stdout } = await line.run(['run', '-n'], { directory: other.directory });
  assert.equal(code, 0);
  const leg = (size: string, minutes: number, ...steps: string[]): string[] => [
    ...[
      `  one (${size})  runs-on ubuntu-latest`,
      '    would it run? yes',
      '    permissions: write-all',
    ],
    ...[`    environment.name: stage-${size}`, `    concurrency: one-${size}`],
    ...[`    timeout-minutes: ${minutes}`, `    continue-on-error: ${size === 'large'}`],
    ...['    outputs.sha: ${{ steps.a.outputs.sha }}', ...steps],
  ];
  assert.deepEqual(
    stdout
      .split('\n')
      .slice(1, -1)
      .filter((one) => !one.includes('warning:')),
    [
      '  run-name: Deploy main as ${{ github.run_number }}',
      '  concurrency.group: set-refs/heads/main',
      '  concurrency.cancel-in-progress: true',
      '  permissions.contents: read',
      ...leg('small', 5, '      1. Run make small'),
      ...leg('large', 90, '      1. Run make large  (skipped: its `if` is false)'),
      ...['  same (1)  runs-on ubuntu-latest', '  same (2)  runs-on ubuntu-latest'],
      ...['    would it run? yes', '      1. Run make'],
    ],
  );
});

test('--dry-run fills in what a call passes, for each leg of the caller', async (t) => {
  const called = './.github/workflows/called.yml';
  const other = otherCheckout(t, {
    '.github/workflows/ci.yml': `on: push
jobs:
  known: { uses: ${called}, with: { who: you } }
  each:
    strategy: { matrix: { who: [a, b] } }
    uses: ${called}
    with: { who: '\${{ matrix.who }}' }
  first: { runs-on: x, steps: [{ run: a }] }
  later: { needs: first, uses: ${called}, with: { who: '\${{ needs.first.result }}' } }
`,
    '.github/workflows/called.yml': `on: { workflow_call: { inputs: { who: { type: string } } } }
jobs:
  greet: { runs-on: x, if: inputs.who == 'you', steps: [{ run: 'echo \${{ inputs.who }}' }] }
`,
  });
  const words = ['run', '-n', '-W', '.github/workflows/ci.yml', '--json'];
  const { stdout } = await line.run(words, { directory: other.directory });
  const [workflow] = (JSON.parse(stdout) as Plan).workflows;
  const jobs = new Map(workflow?.jobs.map((job) => [job.key, job]));
  assert.deepEqual(jobs.get('known')?.settings, [{ name: 'with.who', value: 'you', known: true }]);
  const known = jobs.get('known.greet');
  assert.deepEqual(known?.verdict, { state: 'runs', why: "`if` is true: inputs.who == 'you'" });
  assert.equal(known.steps[0]?.title, 'Run echo you');
  const each = jobs.get('each.greet');
  assert.equal(each?.verdict.state, 'open');
  assert.deepEqual(
    each.legs?.map(({ name, values }) => [name, values?.steps[0]?.title]),
    [
      ['each (a) / greet', 'Run echo a'],
      ['each (b) / greet', 'Run echo b'],
    ],
  );
  assert.equal(jobs.get('later.greet')?.steps[0]?.title, 'Run echo ${{ inputs.who }}');
});
