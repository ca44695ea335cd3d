/**
 * Kills of a machine's monitor (_monitor-kills.ts), looked at twice: after each by our own names, and around all
 * of them by an inventory of the whole machine that knows none.
 */
import { join } from 'node:path';
import { test } from 'node:test';
import { assertTestsLeaveNothing, checkHostAfterEach } from '@onejob/testing';

checkHostAfterEach();

test('of monitors that are killed at any step of a sandbox nothing stays, three times over', async () => {
  await assertTestsLeaveNothing(join(import.meta.dirname, '_monitor-kills.ts'));
});
