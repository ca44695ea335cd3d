/**
 * Conformance: the documentation's table of contexts and special functions, whole: for every key, every context and
 * every special function is refused or accepted as the table says.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parseWorkflow } from '@onejob/workflow/parse';
import { CONTEXT_TABLE, type ContextRow } from './context-table.ts';

const CONTEXTS = [
  ...['github', 'env', 'vars', 'job', 'jobs', 'steps', 'runner', 'secrets', 'strategy', 'matrix'],
  ...['needs', 'inputs'],
];
const FUNCTIONS = ['always', 'cancelled', 'success', 'failure', 'hashFiles'];

function workflowOf(
  { workflow = {}, job = {}, call, step }: ContextRow,
  expression: string,
): string {
  const steps = [step ?? { run: 'a' }];
  const whole = call === undefined ? { 'runs-on': 'x', steps, ...job } : { uses: './a', ...call };
  const uses = { uses: './.github/workflows/x.yml' };
  const only = call === undefined ? whole : { ...whole, ...uses };
  const text = JSON.stringify({ on: 'push', jobs: { a: only }, ...workflow });
  return text.replaceAll('HERE', `\${{ ${expression} }}`);
}

const refusal = /^Unrecognized (?:named-value|function)/;

/** Whether an expression at the key may name it. */
function isSeen(row: ContextRow, name: string): boolean {
  const isFunction = FUNCTIONS.includes(name);
  const expression = isFunction ? `${name}(${name === 'hashFiles' ? "'a'" : ''})` : `${name}.a`;
  const parsed = parseWorkflow({ file: 'a.yml', text: workflowOf(row, expression) });
  const problems = parsed.ok ? [] : parsed.problems;
  return !problems.some(({ message }) => refusal.test(message));
}

for (const row of CONTEXT_TABLE) {
  test(`${row.key} sees what the table says`, () => {
    const expected = [...row.sees, ...(row.deviation?.also ?? [])];
    const seen = [...CONTEXTS, ...FUNCTIONS].filter((name) => isSeen(row, name));
    assert.deepEqual(seen.toSorted(), expected.toSorted());
  });
}

test('the table has a row for each of its keys', () => {
  assert.equal(new Set(CONTEXT_TABLE.map(({ key }) => key)).size, 34);
  assert.equal(CONTEXT_TABLE.length, 34);
});
