/** What the tests of built-in actions share: workflows from steps, and what is in the log of a job. */
import assert from 'node:assert/strict';
import type { EndedRun } from '@onejob/testing';

/** @param steps YAML, indented by six */
export const job = (name: string, steps: string, more = ''): string => `
  ${name}:
    runs-on: ubuntu-latest${more}
    steps:${steps}`;

export const workflow = (...jobs: string[]): string => `on: push
jobs:${jobs.join('')}
`;

export const rowsOf = ({ logs }: EndedRun, name: string): string[] =>
  (logs[name] ?? []).map(({ text }) => text);

/** They may come in any order. */
export function assertRows(ended: EndedRun, name: string, expected: (string | RegExp)[]): void {
  const rows = rowsOf(ended, name);
  for (const row of expected) {
    const isThere = rows.some((one) => (typeof row === 'string' ? one === row : row.test(one)));
    assert.ok(isThere, `${name} misses ${String(row)}:\n${rows.join('\n')}`);
  }
}
