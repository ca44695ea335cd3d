/** What a run would be, shown and not run: --list, --graph, --dry-run. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
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
const line = await CommandLine.prepared();
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
  assert.match(stdout, /^ {6}1\. Run echo \$\{\{ matrix\.node \}\} on main$/m);
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
