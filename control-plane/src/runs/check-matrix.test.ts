import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CreateRun } from '@onejob/protocol';
import { planBudget } from '@onejob/workflow';
import { parseWorkflow } from '@onejob/workflow/parse';
import { checkMatrix } from './check-matrix.ts';

const FILE = '.github/workflows/ci.yml';
const REQUEST: CreateRun = {
  repository: 'acme/app',
  sha: 'a'.repeat(40),
  ref: 'refs/heads/main',
  workflows: [],
  event: { name: 'push', payload: {} },
  actor: 'ada',
  secrets: {},
  vars: {},
  env: {},
  inputs: {},
  jobs: [],
  matrix: {},
  driver: 'process',
  keepSandbox: false,
};
const STEPS = 'steps: [{ run: a }]';
/** What is said of a choice; undefined: nothing. */
function said(
  jobs: string,
  matrix: Record<string, string[]>,
  triggered = true,
): string | undefined {
  const result = parseWorkflow({ file: FILE, text: `on: push\njobs:\n${jobs}` });
  assert.ok(result.ok, JSON.stringify(result));
  const { workflow, warnings } = result;
  const read = {
    workflow,
    warnings,
    triggered,
    why: '',
    jobs: workflow.jobs,
    inputs: {},
    called: {},
    referenced: [],
  };
  try {
    checkMatrix([read], { ...REQUEST, matrix }, 'acme', planBudget());
    return undefined;
  } catch (error) {
    assert.equal((error as { code?: string }).code, 'unknown_matrix', String(error));
    return (error as Error).message;
  }
}

const TEST = `  test:
    runs-on: x
    ${STEPS}
    strategy:
      matrix:
        os: [linux, mac]
        node: [22, 24]
        exclude: [{ os: mac, node: 22 }]
        include: [{ os: linux, node: 24, extra: { a: true } }]
  lint: { runs-on: x, ${STEPS} }
`;

test('a choice that some leg has is taken, alternatives and added keys too', () => {
  for (const matrix of [
    {},
    { os: ['mac'] },
    { node: ['22', '24'] },
    { os: ['linux'], node: ['22'] },
    { extra: ['{"a":true}'] },
  ]) {
    assert.equal(said(TEST, matrix), undefined, JSON.stringify(matrix));
  }
});

test('an unknown key is refused with every key and its values', () => {
  assert.equal(
    said(TEST, { nod: ['24'] }),
    'No matrix has the key "nod". There are: os (linux, mac), node (22, 24), extra ({"a":true}).',
  );
  assert.equal(
    said(`  a: { runs-on: x, ${STEPS} }\n`, { node: ['24'] }),
    'No matrix has the key "node". No job that would run has a matrix.',
  );
});

test('a value that no leg has is refused with the values there are', () => {
  assert.equal(
    said(TEST, { os: ['linux'], node: ['24', '23'] }),
    'No leg of a matrix has node: 23. There are: node (22, 24).',
  );
  const many = `  a: { runs-on: x, ${STEPS}, strategy: { matrix: { n: [${Array.from({ length: 30 }, (_, n) => n).join()}] } } }\n`;
  assert.match(said(many, { n: ['99'] }) ?? '', /\(0, 1, .*, 19 and 10 more\)\.$/);
});

test('values that no leg has together are refused with the legs', () => {
  assert.equal(
    said(TEST, { os: ['mac'], node: ['22'] }),
    'No leg of a matrix has all the chosen values together. ' +
      'There are: test (linux, 22), test (linux, 24), test (mac, 24).',
  );
});

test('what a job that has not run will say is waited for, the rest is still checked', () => {
  const job = (matrix: string): string => `  first: { runs-on: x, ${STEPS} }
  then: { needs: first, runs-on: x, ${STEPS}, strategy: { matrix: ${matrix} } }
`;
  const whole = job("'${{ fromJSON(needs.first.outputs.m) }}'");
  assert.equal(said(whole, { any: ['x'] }), undefined);
  const values = job("{ n: '${{ fromJSON(needs.first.outputs.n) }}' }");
  assert.equal(said(values, { n: ['x'] }), undefined);
  assert.equal(
    said(values, { m: ['x'] }),
    'No matrix has the key "m". There are: n (values not known before the run).',
  );
});

test('a workflow that does not run is not asked', () => {
  assert.equal(said(TEST, { nod: ['24'] }, false), undefined);
});
