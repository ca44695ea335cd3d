/** Limits on what one sandbox uses of the guard, by a clock of the test and through real tunnels. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { newSandboxId } from '@onejob/protocol';
import { closed, openGuardedLink, startTarget } from './_guarded-link.ts';
import { createAccounts } from './accounts.ts';
import { GUARD_ACCOUNTS, GUARD_LIMITS } from './limits.ts';

test('a burst ends at the limit of a second, and of a minute; then it goes on at that pace', () => {
  let nowMs = 0;
  const limits = { ...GUARD_LIMITS, newConnectionsPerSecond: 10, newConnectionsPerMinute: 60 };
  const accounts = createAccounts(limits, () => nowMs);
  const sandboxId = newSandboxId();
  const burst = (): number => {
    let count = 0;
    while (count < 1000 && accounts.enter(sandboxId) === undefined) {
      accounts.leave(sandboxId);
      count += 1;
    }
    assert.equal(accounts.enter(sandboxId), 'connection-rate');
    return count;
  };
  assert.equal(burst(), 10);
  nowMs += 500;
  assert.equal(burst(), 5);
  let inMinute = 15;
  for (let second = 0; second < 59; second += 1) {
    nowMs += 1000;
    inMinute += burst();
  }
  // The bucket of the minute: 60 at once, and one more in each of 59.5 seconds.
  assert.ok(inMinute >= 118 && inMinute <= 120, String(inMinute));
  assert.equal(accounts.enter(newSandboxId()), undefined);
});

test('use is forgotten in its order, but never that of a sandbox with an open connection', () => {
  const accounts = createAccounts({ ...GUARD_LIMITS, bytesPerSandbox: 10 }, () => 0);
  const [busy, idle] = [newSandboxId(), newSandboxId()];
  for (const sandboxId of [busy, idle]) {
    accounts.enter(sandboxId);
    accounts.move(sandboxId, 10);
  }
  accounts.leave(idle);
  for (let count = 0; count < GUARD_ACCOUNTS; count += 1) {
    const other = newSandboxId();
    accounts.enter(other);
    accounts.leave(other);
  }
  assert.equal(accounts.enter(busy), 'byte-limit');
  assert.equal(accounts.enter(idle), undefined);
});

test('a sandbox over its rate is refused with a sentence, and let in again later', async () => {
  let nowMs = 0;
  await using target = await startTarget((socket) => void socket.pipe(socket));
  await using link = await openGuardedLink({
    limits: { newConnectionsPerSecond: 2 },
    nowMs: () => nowMs,
  });
  const statuses: number[] = [];
  for (let count = 0; count < 4; count += 1) {
    if (count === 3) nowMs += 1000;
    const { status, reason, stream } = await link.connect(`127.0.0.1:${target.port}`);
    if (status === 403) assert.match(reason ?? '', /2 connections in a second/);
    stream.end().resume();
    statuses.push(status);
    const { rule } = await link.nextRecord();
    assert.equal(rule, status === 403 ? 'connection-rate' : 'hazardous-reachable-loopback');
  }
  assert.deepEqual(statuses, [200, 200, 403, 200]);
  assert.equal(target.accepted.length, 3);
});

test('bytes over the limit cut the connection, whichever way they go, and open no other', async () => {
  const bytesPerSandbox = 100_000;
  for (const direction of ['up', 'down'] as const) {
    await using target = await startTarget((socket) => {
      socket.resume();
      if (direction === 'down') socket.write(Buffer.alloc(1_000_000));
    });
    await using link = await openGuardedLink({ limits: { bytesPerSandbox } });
    const { status, stream } = await link.connect(`127.0.0.1:${target.port}`);
    assert.equal(status, 200);
    stream.resume();
    if (direction === 'up') stream.write(Buffer.alloc(1_000_000));
    await closed(stream);
    const record = await link.nextRecord();
    assert.deepEqual([record.verdict, record.rule], ['refused', 'byte-limit']);
    assert.ok(record.bytesUp + record.bytesDown > 0);
    assert.ok(record.bytesUp + record.bytesDown < 500_000, 'cut soon after the limit');
    const { reason } = await link.connect(`127.0.0.1:${target.port}`);
    assert.match(reason ?? '', /has moved 100000 bytes/);
    assert.equal(target.accepted.length, 1);
  }
});
