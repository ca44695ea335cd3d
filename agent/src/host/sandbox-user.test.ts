/** Users of sandboxes, with real processes of them. Taking one needs root. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { newSandboxId } from '@onejob/protocol';
import { checkLeaksAfterEach } from '../../tests/_leaks.ts';
import {
  checkUserRange,
  chooseUser,
  claimUser,
  listUserClaims,
  releaseUser,
  SANDBOX_USERS,
} from './sandbox-user.ts';

checkLeaksAfterEach();

const hostMarker = `test-${randomBytes(8).toString('hex')}`;
const newOwner = (): { hostMarker: string; sandboxId: string } => ({
  hostMarker,
  sandboxId: newSandboxId(),
});

test('users come from the range, and a range over users of the host is refused', () => {
  const range = { first: 3_000_000, count: 3 };
  const chosen = new Set(Array.from({ length: 200 }, () => chooseUser(range)));
  assert.deepEqual(chosen, new Set([3_000_000, 3_000_001, 3_000_002]));
  checkUserRange(SANDBOX_USERS);
  for (const wrong of [
    { first: 0, count: 10 },
    { first: 1000, count: 10 },
    { first: 2 ** 32 - 2, count: 2 },
    { first: 200_000, count: 0 },
    { first: 200_000.5, count: 2 },
  ]) {
    assert.throws(() => checkUserRange(wrong), { code: 'invalid_configuration' });
  }
});

const skip = process.getuid?.() === 0 ? false : 'taking a user needs root';

describe('a user that is taken', { skip }, () => {
  test('is nobody else’s until its owner frees it, which may be done twice', async () => {
    const uid = chooseUser(SANDBOX_USERS);
    const [owner, other] = [newOwner(), newOwner()];
    const claims = await Promise.all([claimUser(uid, owner), claimUser(uid, other)]);
    assert.equal(claims.filter(Boolean).length, 1, 'one of two at the same time has it');
    const [holder, loser] = claims[0] ? [owner, other] : [other, owner];
    await releaseUser(uid, loser);
    assert.deepEqual(await listUserClaims(hostMarker), [{ uid, sandboxId: holder.sandboxId }]);
    assert.equal(await claimUser(uid, loser), false);
    await releaseUser(uid, holder);
    await releaseUser(uid, holder);
    assert.deepEqual(await listUserClaims(hostMarker), []);
    assert.equal(await claimUser(uid, loser), true);
    await releaseUser(uid, loser);
  });

  test('is freed with every process of it, whatever that calls itself', async () => {
    const uid = chooseUser(SANDBOX_USERS);
    const owner = newOwner();
    assert.ok(await claimUser(uid, owner));
    const script = 'setsid env -i sleep 60 & sleep 60 & echo started; wait';
    const child = spawn('setpriv', [`--reuid=${uid}`, '--', 'sh', '-c', script], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    await once(child.stdout, 'data');
    const closed = once(child, 'close'); // all of them hold its output open
    assert.equal(await claimUser(uid, newOwner()), false);
    await releaseUser(uid, owner);
    await closed;
  });

  test('is not one that something of the host runs as', async () => {
    const uid = chooseUser(SANDBOX_USERS);
    const child = spawn('setpriv', [`--reuid=${uid}`, '--', 'sleep', '60'], { stdio: 'ignore' });
    await once(child, 'spawn');
    const status = (): string => readFileSync(`/proc/${child.pid}/status`, 'utf8');
    while (!new RegExp(`^Uid:\\s+${uid}\\s`, 'm').test(status()));
    assert.equal(await claimUser(uid, newOwner()), false);
    assert.deepEqual(await listUserClaims(hostMarker), []);
    child.kill('SIGKILL');
    await once(child, 'exit');
  });
});
