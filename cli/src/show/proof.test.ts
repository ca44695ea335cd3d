import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Report } from '@onejob/prove';
import { showProof } from './proof.ts';

const finding = (id: string, subject?: 'sandbox' | 'platform'): Report['findings'][number] => ({
  ...{ id, class: 'credentials', title: 'tries', expected: 'no', observed: 'no', verdict: 'held' },
  ...(subject && { subject }),
  control: { how: 'the same', outcome: 'through', observed: 'yes' },
});

const lastLine = (findings: Report['findings']): string => {
  const report: Report = {
    ...{ version: 1, startedAt: '', finishedAt: '', onejob: '', image: '', notIsolated: '' },
    ...{ driver: { name: 'qemu', note: '' }, only: [], notes: [], findings },
    host: { system: '', cpus: 1, memoryBytes: 1, node: '' },
    totals: { held: findings.length, broken: 0, 'not counted': 0, 'not tried': 0 },
  };
  return (
    showProof(report, (_, text) => text)
      .split('\n')
      .at(-1) ?? ''
  );
};

test('what held in no sandbox is not counted as if a sandbox had held it', () => {
  assert.equal(
    lastLine([finding('lease-adoption', 'platform'), finding('file-read', 'sandbox')]),
    '2 held (1 of them on the platform, in no sandbox), 0 broken, 0 not counted, 0 not tried',
  );
  const older = '1 held, 0 broken, 0 not counted, 0 not tried';
  assert.equal(lastLine([finding('file-read')]), older);
});
