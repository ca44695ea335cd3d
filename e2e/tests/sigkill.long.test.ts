import { test } from 'node:test';
import { checkHostAfterEach } from '@onejob/testing';
import { killAtEveryLine, recordMicroVmJournal } from './_sigkill-rounds.ts';

checkHostAfterEach();

test('an agent killed at any line of the journal of a microVM leaves nothing, three times over', async (t) => {
  const journal = await recordMicroVmJournal();
  for (const round of [1, 2, 3]) {
    await t.test(`round ${round}`, async () => await killAtEveryLine('qemu', journal));
  }
});
