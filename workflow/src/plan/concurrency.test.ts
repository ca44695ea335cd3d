/** Groups of workflows and of legs, as "Control the concurrency of workflows and jobs" tells them. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Json } from '@onejob/protocol';
import { FILE, jobWith, parsed, problemsOf, SCOPE } from '../../tests/_workflows.ts';
import {
  type ConcurrencyGroup,
  expandJob,
  jobConcurrency,
  PlanError,
  usesConcurrency,
  workflowConcurrency,
} from '../index.ts';

const JOBS = 'jobs: { a: { runs-on: x, steps: [{ run: a }] } }\n';
const groupOf = (yaml: string, inputs: Record<string, Json> = {}): ConcurrencyGroup | null =>
  workflowConcurrency(parsed(`on: push\nconcurrency: ${yaml}\n${JOBS}`), { ...SCOPE, inputs });

function problemOf(plan: () => unknown): string {
  try {
    plan();
  } catch (error) {
    assert.ok(error instanceof PlanError, String(error));
    const [problem] = error.problems;
    assert.equal(problem?.file, FILE);
    return `${problem.line}:${problem.column} ${problem.message}`;
  }
  return '';
}

test('a text is the name of a group; names differ in more than case', () => {
  const group = { name: 'Prod-refs/heads/main', key: 'PROD-REFS/HEADS/MAIN' };
  const rest = { cancelInProgress: false, queue: 'single' };
  assert.deepEqual(groupOf('Prod-${{ github.ref }}'), { ...group, ...rest });
  assert.equal(groupOf('prod-${{ github.ref }}')?.key, group.key);
  assert.notEqual(groupOf('prod')?.key, group.key);
});

test('a mapping says whether the holder is cancelled, and how others wait', () => {
  const shape = (yaml: string, inputs?: Record<string, Json>) => {
    const group = groupOf(yaml, inputs);
    return [group?.name, group?.cancelInProgress, group?.queue];
  };
  assert.deepEqual(shape('{ group: a }'), ['a', false, 'single']);
  assert.deepEqual(shape('{ group: a, cancel-in-progress: true }'), ['a', true, 'single']);
  assert.deepEqual(shape('{ group: a, queue: max }'), ['a', false, 'max']);
  const asked = '{ group: "${{ inputs.g }}", cancel-in-progress: "${{ inputs.c }}" }';
  assert.deepEqual(shape(asked, { g: 7, c: true }), ['7', true, 'single']);
  assert.deepEqual(shape(asked, { g: 'constructor', c: null }), ['constructor', false, 'single']);
  const whole = '${{ fromJSON(inputs.all) }}';
  assert.deepEqual(shape(whole, { all: '{"group":"b","queue":"max"}' }), ['b', false, 'max']);
});

test('without the key there is no group, and the workflow says that it uses none', () => {
  const plain = parsed(`on: push\n${JOBS}`);
  assert.equal(workflowConcurrency(plain, SCOPE), null);
  assert.equal(usesConcurrency(plain), false);
  assert.equal(usesConcurrency(parsed(`on: push\nconcurrency: a\n${JOBS}`)), true);
  assert.equal(usesConcurrency(jobWith('concurrency: a').workflow), true);
});

test('each leg of a matrix has the group of its own values', () => {
  const { job } = jobWith(
    'strategy: { matrix: { os: [linux, mac] } }',
    'concurrency: "${{ matrix.os }}-${{ strategy.job-index }}-${{ needs.b.result }}"',
  );
  const scope = { ...SCOPE, needs: { b: { result: 'success' as const, outputs: {} } } };
  assert.deepEqual(
    expandJob(job, scope).map((leg) => jobConcurrency(job, leg, scope)?.name),
    ['linux-0-success', 'mac-1-success'],
  );
});

test('what evaluates to no group is said with the place of its expression', () => {
  const cases: [string, Record<string, Json>, string][] = [
    ['"${{ inputs.g }}"', {}, '2:15 * Concurrency group name cannot be empty'],
    ['{ group: "${{ inputs.g }}" }', {}, '2:24 * Concurrency group name cannot be empty'],
    [
      '"${{ inputs.g }}"',
      { g: 'x'.repeat(401) },
      '2:15 * Concurrency group name must be less than 400 characters',
    ],
    ['"${{ fromJSON(inputs.g) }}"', { g: '[1]' }, '2:15 * A name or a mapping was expected'],
    ['"${{ fromJSON(inputs.g) }}"', { g: '{"a":1}' }, '2:15 * Invalid property name: a'],
    ['"${{ fromJSON(inputs.g) }}"', { g: '{"group":[1]}' }, '2:15 * The `group` must be a text'],
    [
      '{ group: a, cancel-in-progress: "${{ inputs.c }}" }',
      { c: 'true' },
      "2:47 * Unexpected value 'true' of cancel-in-progress: true or false was expected",
    ],
    [
      '"${{ fromJSON(inputs.g) }}"',
      { g: '{"group":"a","queue":"long"}' },
      '2:15 * The `queue` must be `single` or `max`',
    ],
    [
      '{ group: a, queue: max, cancel-in-progress: "${{ inputs.c }}" }',
      { c: true },
      '2:59 * `queue: max` and `cancel-in-progress: true` exclude each other',
    ],
  ];
  for (const [yaml, inputs, expected] of cases) {
    const [place, sentence] = expected.split(' * ');
    const start = `${place} Error when evaluating 'concurrency'. ${sentence}`;
    const said = problemOf(() => groupOf(yaml, inputs));
    assert.ok(said.startsWith(start), `${yaml}: ${said}`);
  }
  assert.equal(groupOf('"${{ inputs.g }}"', { g: 'x'.repeat(400) })?.name.length, 400);
});

test('a job whose group is empty names the job', () => {
  const { job } = jobWith('concurrency: "${{ github.head_ref }}"');
  const [leg] = expandJob(job, SCOPE);
  assert.ok(leg !== undefined);
  assert.equal(
    problemOf(() => jobConcurrency(job, leg, SCOPE)),
    "5:19 Error when evaluating 'concurrency' for job 'a'. Concurrency group name cannot be empty",
  );
});

test('what is written out and wrong is said when the file is read', () => {
  const workflow = (yaml: string) => problemsOf(`on: push\nconcurrency: ${yaml}\n${JOBS}`);
  const job = (yaml: string) =>
    problemsOf(
      `on: push\njobs:\n  a:\n    runs-on: x\n    concurrency: ${yaml}\n    steps: [{ run: a }]\n`,
    );
  const both = '{ group: a, queue: max, cancel-in-progress: true }';
  assert.match(workflow(both)[0] ?? '', /^2:33 `queue: max` and `cancel-in-progress: true` excl/);
  assert.match(job(both)[0] ?? '', /^5:37 `queue: max` and `cancel-in-progress: true` exclude/);
  assert.deepEqual(workflow("''"), ['2:14 Concurrency group name cannot be empty']);
  assert.deepEqual(workflow('x'.repeat(401)), [
    '2:14 Concurrency group name must be less than 400 characters',
  ]);
  assert.equal(job('{ group: a, queue: min }').length, 1);
  assert.equal(job('{ cancel-in-progress: true }').length, 1);
  assert.deepEqual(workflow('{ group: a, queue: max, cancel-in-progress: false }'), []);
  assert.deepEqual(job('{ group: a, queue: max, cancel-in-progress: "${{ inputs.c }}" }'), []);
});

test('contexts are those of the documentation: no job is known to the workflow, no secret to either', () => {
  const inWorkflow = problemsOf(`on: push\nconcurrency: "\${{ matrix.os }}"\n${JOBS}`);
  assert.match(inWorkflow[0] ?? '', /Unrecognized named-value: 'matrix'/);
  const inJob = problemsOf(
    'on: push\njobs: { a: { runs-on: x, concurrency: "${{ secrets.a }}", steps: [{ run: a }] } }\n',
  );
  assert.match(inJob[0] ?? '', /Unrecognized named-value: 'secrets'/);
});
