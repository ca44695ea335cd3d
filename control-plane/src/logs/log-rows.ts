/** How rows of a log are written in the database and in archives: JSON [[step, atMs, text], ...]. */
import type { LogRow } from '@onejob/protocol';

export const packRows = (rows: readonly LogRow[]): string =>
  JSON.stringify(rows.map((row) => [row.step, row.atMs, row.text]));

export const unpackRows = (packed: string): LogRow[] =>
  (JSON.parse(packed) as [number, number, string][]).map(([step, atMs, text]) => ({
    step,
    atMs,
    text,
  }));
