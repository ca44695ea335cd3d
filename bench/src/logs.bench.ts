/** Log rows from a step's standard output to the public API, durable on the way. */
import { startConstellation } from '@onejob/testing';
import { median, rounded } from './statistics.ts';

const LINES = 50_000;
const ROUNDS = 3;
const WORKFLOW = `on: push
jobs:
  talk:
    runs-on: ubuntu-latest
    steps:
      - run: seq -f 'line %g of a build that says a lot about what it does' ${LINES}
`;

export async function benchLogs(): Promise<Record<string, unknown>> {
  await using constellation = await startConstellation({ driver: 'process' });
  const perSecond: number[] = [];
  let rows = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const run = await constellation.start({ workflow: WORKFLOW });
    let firstAt = Number.NaN;
    let lastAt = Number.NaN;
    rows = 0;
    for await (const event of constellation.api.events(run.id, new AbortController().signal)) {
      if (event.type !== 'log') continue;
      firstAt = Number.isNaN(firstAt) ? performance.now() : firstAt;
      lastAt = performance.now();
      rows += event.rows.length;
    }
    perSecond.push((rows / (lastAt - firstAt)) * 1000);
  }
  return {
    conditions: { lines: LINES, rounds: ROUNDS, driver: 'process', database: 'pglite' },
    rows,
    rowsPerSecond: Math.round(median(perSecond)),
    complete: rows >= LINES,
    note: rounded(rows - LINES, 0) >= 0 ? 'every row arrived' : 'rows are missing',
  };
}
