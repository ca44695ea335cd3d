/** What a run of one job, `one`, has left: rows of its log and annotations. */
import assert from 'node:assert/strict';
import type { EndedRun } from '@onejob/testing';

export const rowsOf = ({ logs }: EndedRun): string[] => (logs['one'] ?? []).map(({ text }) => text);

export const annotationsOf = ({ run: { jobs } }: EndedRun) =>
  (jobs[0]?.annotations ?? []).map(({ annotation }) => annotation);

/** Every row is in the log, in this order. */
export function assertRows(ended: EndedRun, expected: readonly (string | RegExp)[]): void {
  const rows = rowsOf(ended);
  let from = 0;
  for (const one of expected) {
    const at = rows.findIndex(
      (row, i) => i >= from && (typeof one === 'string' ? row === one : one.test(row)),
    );
    assert.ok(at >= 0, `${String(one)} is not after row ${from} of\n${rows.join('\n')}`);
    from = at + 1;
  }
}
