import assert from 'node:assert/strict';
import { beforeEach, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import fc from 'fast-check';
import { DiskRoom } from './disk-room.ts';
import { HOST_FREE_BYTES } from '../limits.ts';
import { ROOM_LOOK_BYTES } from './limits.ts';

const FULL = { reason: 'out_of_range' };
/** Above what must stay. */
let freeBytes = 0;
let room: DiskRoom;
beforeEach(() => {
  freeBytes = 100;
  room = new DiskRoom(async () => await Promise.resolve(HOST_FREE_BYTES + freeBytes));
});

test('what is announced at once is taken in turn, and what has no room is refused', async () => {
  const asked = [60, 60, 30, 10, 1].map(async (bytes) => await room.take(bytes));
  const ends = await Promise.allSettled(asked);
  const isTaken = ends.map(({ status }) => status === 'fulfilled');
  assert.deepEqual(isTaken, [true, false, true, true, false]);
});

test('what did not come is free again, and what came is not taken twice', async () => {
  {
    using first = await room.take(100);
    await assert.rejects(room.take(1), FULL);
    freeBytes -= 40;
    await first.landed(40);
    await assert.rejects(room.take(1), FULL);
  }
  await assert.rejects(room.take(61), FULL);
  using _rest = await room.take(60);
});

test('bytes that land while the disk is looked at do not count as room', async () => {
  let looked = Promise.withResolvers<void>();
  looked.resolve();
  const slow = new DiskRoom(async () => {
    const seen = HOST_FREE_BYTES + freeBytes;
    await looked.promise;
    return seen;
  });
  using first = await slow.take(60);
  looked = Promise.withResolvers();
  const asked = assert.rejects(slow.take(50), FULL);
  await setImmediate();
  freeBytes -= 60;
  await first.landed(60);
  looked.resolve();
  await asked;
});

test('a long upload ends when others fill the disk meanwhile', async () => {
  freeBytes = 4 * ROOM_LOOK_BYTES;
  using long = await room.take(4 * ROOM_LOOK_BYTES);
  freeBytes -= ROOM_LOOK_BYTES;
  await long.landed(ROOM_LOOK_BYTES);
  freeBytes -= ROOM_LOOK_BYTES + 1;
  await long.landed(ROOM_LOOK_BYTES - 1);
  await assert.rejects(long.landed(1), FULL);
});

test('whatever is taken, written and given up in whatever order, the disk keeps its rest', async () => {
  const sizes = fc.array(fc.tuple(fc.nat(60), fc.nat(60)), { maxLength: 12 });
  await fc.assert(
    fc.asyncProperty(sizes, async (uploads) => {
      freeBytes = 100;
      const own = new DiskRoom(async () => await Promise.resolve(HOST_FREE_BYTES + freeBytes));
      const upload = async ([announced, written]: [number, number]): Promise<void> => {
        using taken = await own.take(announced);
        for (let at = 0; at < Math.min(announced, written); at++) {
          freeBytes -= 1;
          await taken.landed(1);
        }
      };
      const ends = await Promise.allSettled(uploads.map(upload));
      for (const end of ends) {
        if (end.status === 'rejected')
          assert.equal((end.reason as typeof FULL).reason, FULL.reason);
      }
      assert.ok(freeBytes >= 0);
      await own.expect(freeBytes);
      await assert.rejects(own.expect(freeBytes + 1), FULL);
    }),
  );
});
