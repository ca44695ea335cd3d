/** The short form of sigkill.long.test.ts: a machine at some moments of its life, once. */
import { test } from 'node:test';
import { checkHostAfterEach } from '@onejob/testing';
import { killAtLines, recordMicroVmJournal } from './_sigkill-rounds.ts';

checkHostAfterEach();

test('an agent killed with a microVM that is half made, boots or is buried leaves nothing, and each job ends as the rules say', async () => {
  const journal = await recordMicroVmJournal();
  const at = ['disk', 'buried'];
  await killAtLines({ driver: 'qemu', network: 'link', journal, at });
});
