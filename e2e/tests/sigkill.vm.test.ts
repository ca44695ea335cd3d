import { test } from 'node:test';
import { checkHostAfterEach } from '@onejob/testing';
import { killAtEveryLine, recordJournal } from './_sigkill-rounds.ts';

checkHostAfterEach();

test('an agent killed at any line of the journal of a process leaves nothing, and each job ends as the rules say', async () => {
  const journal = await recordJournal('process');
  await killAtEveryLine({ driver: 'process', network: 'link', journal });
});
