/** What an operator says of the network around the host holds for the jobs of `onejob run`. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Run } from '@onejob/protocol';
import { makeCheckout } from '@onejob/testing';
import { CommandLine, jsonLines } from './_command-line.ts';

const checkout = makeCheckout({
  '.github/workflows/ci.yml': `on: push
jobs:
  ask:
    runs-on: ubuntu-latest
    steps:
      - run: for place in 93.184.215.14 10.0.0.1; do curl -sS "http://$place:8080/" || true; done
`,
});
const line = await CommandLine.prepared();
after(async () => {
  await checkout[Symbol.asyncDispose]();
  await line[Symbol.asyncDispose]();
});

async function runWith(settings: object) {
  const path = line.write('egress.json', JSON.stringify(settings));
  const place = {
    directory: checkout.directory,
    environment: { ONEJOB_EGRESS_SETTINGS: path },
  };
  const { code, stdout, stderr } = await line.run(['run', '--driver', 'process', '--json'], place);
  const end = jsonLines<{ type: string; runs: Run[] }>(stdout).at(-1);
  return { code, stderr, notes: end?.runs?.[0]?.jobs[0]?.notes.join('\n') ?? '' };
}

test('a range of the operator’s is refused by its rule, and limits are the operator’s', async () => {
  const closed = await runWith({ refusedRanges: ['93.184.0.0/16'] });
  assert.equal(closed.code, 0, closed.stderr);
  assert.match(closed.notes, /onejob refuses 93\.184\.215\.14:8080: .*operator/);
  const limited = await runWith({
    refusedRanges: ['93.184.0.0/16'],
    limits: { newConnectionsPerMinute: 1 },
  });
  assert.match(limited.notes, /onejob refuses 10\.0\.0\.1:8080: .*connections/);
});

test('settings that are wrong keep everything from starting, with the file and what is wrong', async () => {
  for (const [settings, why] of [
    [{ closedRanges: [] }, /egress\.json are refused: .*docs\/egress\.md/],
    [{ limits: { bytesPerSandbox: 0 } }, /egress\.json are refused: .*bytesPerSandbox/],
    [{ refusedRanges: ['93.184.0.0'] }, /refusedRanges has "93\.184\.0\.0"/],
  ] as const) {
    const { code, stderr } = await runWith(settings);
    assert.notEqual(code, 0);
    assert.match(stderr, why);
  }
});
