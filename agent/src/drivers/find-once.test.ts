import assert from 'node:assert/strict';
import { test } from 'node:test';
import { findOnce } from './find-once.ts';

test('what was found is not looked for again; what was not is', async () => {
  let looks = 0;
  const find = findOnce(async () => {
    looks += 1;
    if (looks === 1) throw new Error('missing');
    return await Promise.resolve(looks);
  });
  await assert.rejects(find(), /missing/);
  assert.deepEqual(await Promise.all([find(), find()]), [2, 2]);
  assert.equal(await find(), 2);
});
