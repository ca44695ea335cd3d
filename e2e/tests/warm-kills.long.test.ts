/**
 * Kills among machines that are saved, restored or wait (_warm-kills.ts), looked at twice: after each by our own
 * names, and around all of them by an inventory of the whole machine that knows none.
 */
import { join } from 'node:path';
import { test } from 'node:test';
import { assertTestsLeaveNothing, checkHostAfterEach } from '@onejob/testing';

checkHostAfterEach();

test('an agent that saves, restores and keeps machines leaves nothing, whenever it is killed', async () => {
  await assertTestsLeaveNothing(join(import.meta.dirname, '_warm-kills.ts'));
});
