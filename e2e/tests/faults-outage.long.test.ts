import assert from 'node:assert/strict';
import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { assertBuried, checkHostAfterEach, eventually, startConstellation } from '@onejob/testing';

/** Shorter than the default, but long enough for heartbeats ten seconds apart. */
const LEASE_MS = 40_000;

checkHostAfterEach();

test('a control plane that is away for longer than a lease loses no job and no row of its log', async () => {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'onejob-test-gate-'));
  const gate = join(directory.path, 'gate');
  await using constellation = await startConstellation({ controlPlane: { leaseMs: LEASE_MS } });
  const { api } = constellation;
  const run = await constellation.start({
    workflow: `
on: push
jobs:
  job:
    runs-on: ubuntu-latest
    steps:
      - run: |
          count=0
          while [ ! -e ${gate} ]; do
            echo "row $count"; count=$((count + 1)); sleep 0.05
          done
          echo "$count rows"
`,
  });
  const job = async () => (await api.run(run.id)).jobs[0]!;
  const before = await eventually('the job logged', async () => {
    const now = await job();
    return now.log.rows > 10 ? now : undefined;
  });
  await constellation.withControlPlaneDown(async () => await sleep(LEASE_MS + 5_000));
  const after = await eventually('the job had logged again, or ended', async () => {
    const now = await job();
    const isOn = now.state === 'finished' || now.log.rows > before.log.rows + 200;
    return isOn ? now : undefined;
  });
  assert.deepEqual([after.state, after.sandboxId], ['running', before.sandboxId]);

  writeFileSync(gate, '');
  const ended = await constellation.ended(run);
  const [end] = ended.run.jobs;
  assert.deepEqual([end?.conclusion, end?.log.missingRows], ['success', 0]);
  const rows = ended.logs['job']?.map(({ text }) => text) ?? [];
  const count = Number(rows.find((text) => text.endsWith(' rows'))?.split(' ')[0]);
  assert.ok(count > 200);
  const expected = Array.from({ length: count }, (_, index) => `row ${index}`);
  assert.deepEqual(
    rows.filter((text) => /^row \d/.test(text)),
    expected,
  );
  await assertBuried(constellation.agentDirectory);
});
