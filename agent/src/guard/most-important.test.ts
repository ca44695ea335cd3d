/** What is kept of any sequence, against the whole of it sorted. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { MostImportant } from './most-important.ts';

type Value = { number: number; rank: number; bytes: number };
const values = fc
  .array(fc.record({ rank: fc.nat(1), bytes: fc.nat(5) }), { maxLength: 60 })
  .map((all) => all.map((one, number): Value => ({ ...one, number })));
const newCollection = (limit: number): MostImportant<number, Value> =>
  new MostImportant(limit, ({ rank, bytes }) => [rank, bytes]);

test('the most important are kept in the order they came, of equal ones the first', () => {
  fc.assert(
    fc.property(values, fc.integer({ min: 1, max: 20 }), (all, limit) => {
      const collection = newCollection(limit);
      const left = all.flatMap((one) => collection.add(one.number, one) ?? []);
      const best = all
        .toSorted((a, b) => b.rank - a.rank || b.bytes - a.bytes || a.number - b.number)
        .slice(0, limit)
        .toSorted((a, b) => a.number - b.number);
      assert.deepEqual(collection.values(), best);
      assert.equal(left.length, all.length - best.length);
    }),
  );
});

test('what became more important is not what leaves', () => {
  const collection = newCollection(2);
  const [first, second] = [
    { number: 1, rank: 0, bytes: 1 },
    { number: 2, rank: 0, bytes: 2 },
  ];
  collection.add(1, first);
  collection.add(2, second);
  const third = { number: 3, rank: 0, bytes: 1 };
  assert.equal(collection.add(3, third), third);
  collection.add(1, { ...first, bytes: 9 });
  assert.equal(collection.add(4, { number: 4, rank: 1, bytes: 0 }), second);
  assert.deepEqual(
    collection.values().map(({ number }) => number),
    [1, 4],
  );
});
