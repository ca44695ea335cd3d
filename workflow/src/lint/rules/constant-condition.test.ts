import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findings, job } from './_lint.ts';

const found = (condition: string): string[] =>
  findings(
    'constant-condition',
    job(`if: ${condition}`, 'steps:', '  - run: a', `    if: ${condition}`),
  );

test('text outside of the braces makes a condition true', () => {
  const places = found("${{ github.ref == 'a' }} && github.sha").map((one) => one.split(' ')[0]);
  assert.deepEqual(places, ['5:9', '8:13']);
  assert.equal(found('"!${{ failure() }}"').length, 2);
  assert.equal(found("format('x{0}', github.ref)").length, 2);
});

test('conditions that can be false are left alone', () => {
  for (const condition of [
    "${{ github.ref == 'a' }}",
    'failure()',
    'true',
    "format('{0}', github.base_ref)",
    "format('{0}{1}', 1, 2) && github.ref",
  ]) {
    assert.deepEqual(found(condition), [], condition);
  }
});
