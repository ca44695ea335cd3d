/**
 * What stays is looked for twice: by our own names after each kill, and by an inventory of the whole machine that
 * knows none, around each round. Before the first a machine went undisturbed.
 */
import { test } from 'node:test';
import { checkHostAfterEach } from '@onejob/testing';
import { assertRoundLeavesNothing } from './_kill-round.ts';
import { killAtLines, recordJournal, recordMicroVmJournal } from './_sigkill-rounds.ts';

checkHostAfterEach();

test('an agent killed at any line of the journal of a process leaves nothing, and each job ends as the rules say', async () => {
  const journal = await recordJournal('process');
  await killAtLines({ driver: 'process', network: 'link', journal });
});

test('an agent killed at any line of the journal of a microVM leaves nothing, three times over', async (t) => {
  const journal = await recordMicroVmJournal();
  for (const round of [1, 2, 3]) {
    await t.test(`round ${round}`, async () => {
      await assertRoundLeavesNothing({ driver: 'qemu', network: 'link', journal });
    });
  }
});
