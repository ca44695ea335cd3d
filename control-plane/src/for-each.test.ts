import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forEach } from './for-each.ts';

test('work goes on after one that failed, and the first failure is told at the end', async () => {
  const done: number[] = [];
  const work = async (item: number): Promise<void> => {
    await Promise.resolve();
    if (item % 2 === 0) throw new Error(`no ${item}`);
    done.push(item);
  };
  await assert.rejects(forEach([1, 2, 3, 4, 5], work), /no 2/);
  assert.deepEqual(done, [1, 3, 5]);
  await forEach([7], work);
});
