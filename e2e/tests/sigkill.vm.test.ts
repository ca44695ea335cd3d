import { test } from 'node:test';
import { checkHostAfterEach } from '@onejob/testing';
import { killAtEveryLine, recordMicroVmJournal } from './_sigkill-rounds.ts';

checkHostAfterEach();

// Three rounds of this are in sigkill.long.test.ts: each takes some minutes where KVM is missing.
test('an agent killed at any line of the journal of a microVM leaves nothing, and each job ends as the rules say', async () => {
  await killAtEveryLine('qemu', await recordMicroVmJournal());
});
