/** Matrix expansion: the examples of GitHub's documentation, and an oracle of another build. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Json, JsonObject } from '@onejob/protocol';
import fc from 'fast-check';
import { expandMatrix, MatrixError, MatrixSizeError } from './matrix.ts';
import { planBudget } from './scope.ts';

const legs = (matrix: JsonObject): JsonObject[] =>
  expandMatrix(matrix, planBudget()).map((leg) => leg.matrix);

test('the documentation example of include gives the documented six legs', () => {
  const matrix = {
    fruit: ['apple', 'pear'],
    animal: ['cat', 'dog'],
    include: [
      { color: 'green' },
      { color: 'pink', animal: 'cat' },
      { fruit: 'apple', shape: 'circle' },
      { fruit: 'banana' },
      { fruit: 'banana', animal: 'cat' },
    ],
  };
  assert.deepEqual(legs(matrix), [
    { fruit: 'apple', animal: 'cat', color: 'pink', shape: 'circle' },
    { fruit: 'apple', animal: 'dog', color: 'green', shape: 'circle' },
    { fruit: 'pear', animal: 'cat', color: 'pink' },
    { fruit: 'pear', animal: 'dog', color: 'green' },
    { fruit: 'banana' },
    { fruit: 'banana', animal: 'cat' },
  ]);
});

test('exclude takes what matches in part, deep leaves and loose equality included', () => {
  const matrix = {
    os: ['linux', 'mac'],
    cfg: [
      { v: 1, w: [1, 2] },
      { v: 2, w: [3] },
    ],
    exclude: [
      { os: 'LINUX', cfg: { v: '1' } },
      { cfg: { w: [3] }, os: 'mac' },
    ],
  };
  assert.deepEqual(legs(matrix), [
    { os: 'linux', cfg: { v: 2, w: [3] } },
    { os: 'mac', cfg: { v: 1, w: [1, 2] } },
  ]);
});

test('a matrix of include alone has one leg an entry', () => {
  assert.deepEqual(legs({ include: [{ a: 1 }, { b: 2 }] }), [{ a: 1 }, { b: 2 }]);
});

test('the name of a leg is made of the product, or of an entry of its own, leaf by leaf', () => {
  const matrix = {
    os: ['linux'],
    cfg: [{ a: 1, b: null, c: ['x', ''] }],
    include: [
      { os: 'linux', extra: 'no' },
      { os: 'bsd', more: true },
    ],
  };
  assert.deepEqual(
    expandMatrix(matrix, planBudget()).map((leg) => leg.segments),
    [
      ['linux', '1', 'x'],
      ['bsd', 'true'],
    ],
  );
});

test('what makes no matrix is said', () => {
  const cases: [JsonObject, RegExp][] = [
    [{}, /at least one vector/],
    [{ os: [] }, /Matrix vector 'os' does not contain any values/],
    [{ os: 'linux' }, /Matrix vector 'os' must be a list/],
    [{ os: ['a'], exclude: [{}] }, /exclude filter must not be empty/],
    [{ os: ['a'], exclude: [{ arch: 1 }] }, /exclude key 'arch' does not match any key/],
    [{ os: ['a'], include: [{}] }, /include mapping does not contain any values/],
    [{ os: ['a'], include: [1] }, /must be a mapping/],
    [{ os: ['a'], include: {} }, /include must be a list/],
  ];
  for (const [matrix, message] of cases) {
    assert.throws(
      () => expandMatrix(matrix, planBudget()),
      (error) => error instanceof MatrixError && message.test(error.message),
    );
  }
});

const count = (n: number): Json[] => Array.from({ length: n }, (_, i) => i);

/** How many legs a matrix that is too large is said to have. */
function size(matrix: JsonObject): string {
  try {
    return `within the limit: ${legs(matrix).length}`;
  } catch (error) {
    assert.ok(error instanceof MatrixSizeError, String(error));
    return error.configurations;
  }
}

test('256 legs are allowed, and more are counted: what is excluded, what is included', () => {
  assert.equal(size({ a: count(16), b: count(16) }), 'within the limit: 256');
  assert.equal(size({ a: count(257) }), '257');
  assert.equal(size({ a: count(256), include: [{ a: 'x' }] }), '257');
  assert.equal(size({ include: count(300).map((a) => ({ a })) }), '300');
  const excluded = (n: number) => ({ a: count(300), exclude: count(n).map((a) => ({ a })) });
  assert.equal(size(excluded(50)), 'within the limit: 250');
  assert.equal(size(excluded(10)), '290');
  // One fits, one fits nowhere, one fits what is excluded.
  const include = [{ a: 299, x: 1 }, { a: 'none' }, { a: 0, b: 1 }];
  assert.equal(size({ ...excluded(10), include }), '292');
  const without = { a: count(300), include };
  assert.equal(size(without), '301');
});

test('the legs of a product of billions are counted unwalked; with exclude as far as it is walked', () => {
  const huge = Object.fromEntries(Array.from('abcdefghij', (key) => [key, count(200)]));
  assert.equal(size(huge), '102400000000000000000000');
  assert.equal(size({ ...huge, include: [{ a: 'x' }, { a: 1 }] }), '102400000000000000000001');
  assert.equal(size({ ...huge, exclude: [{ a: 199 }] }), 'more than 256');
});

test('filters and keys that would take minutes to compare are refused', { timeout: 60_000 }, () => {
  const vectors = Object.fromEntries(Array.from('abcde', (key) => [key, [0, 1, 2, 3, 4, 5, 6, 7]]));
  const useless = Array.from({ length: 10_000 }, () => ({ a: 'none' }));
  const all = [0, 1, 2, 3, 4, 5, 6, 7].map((a) => ({ a }));
  assert.throws(() => legs({ ...vectors, exclude: [...useless, ...all] }), /comparisons/);
  assert.throws(
    () => legs({ a: Array(200).fill(1), include: useless.map(() => ({ x: 1, y: 2 })) }),
    /comparisons/,
  );
  assert.throws(
    () => legs(Object.fromEntries(Array.from({ length: 257 }, (_, i) => [`k${i}`, [1]]))),
    /256 keys/,
  );
});

test('keys named like parts of Object.prototype are keys', () => {
  const matrix = JSON.parse('{"__proto__":[1,2],"constructor":["a"]}') as JsonObject;
  assert.deepEqual(
    legs(matrix).map((leg) => JSON.stringify(leg)),
    ['{"__proto__":1,"constructor":"a"}', '{"__proto__":2,"constructor":"a"}'],
  );
});

type Kind = string | number | boolean | null | { [key: string]: Kind };
type Leg = Record<string, Kind>;

/** Equality of the documentation, written out: a number, if the kinds differ; texts without case. */
function sameLeaf(one: Kind, other: Kind): boolean {
  const number = (value: Kind): number =>
    typeof value === 'object' && value !== null ? Number.NaN : Number(value);
  if (typeof one === 'string' && typeof other === 'string') {
    return one.toLowerCase() === other.toLowerCase();
  }
  return typeof one === typeof other && one !== null && other !== null
    ? one === other
    : number(one) === number(other);
}

const sameKey = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase();
const valueAt = (leg: Leg, key: string): Kind =>
  Object.entries(leg).find(([name]) => sameKey(name, key))?.[1] ?? null;

/** Every leaf of the filter equals the leaf at its place, and there is one; keys are found without case. */
function fitsLeaves(filter: Kind, value: Kind): boolean {
  if (typeof filter !== 'object' || filter === null) {
    return (typeof value !== 'object' || value === null) && sameLeaf(filter, value);
  }
  const inner = typeof value === 'object' && value !== null ? value : {};
  return Object.entries(filter).every(([key, one]) => fitsLeaves(one, valueAt(inner, key)));
}

/** The entry's values over the leg's; a key that is there, in whatever case, stays as it is written. */
const added = (leg: Leg, entry: Leg, isExtra: (key: string) => boolean): Leg =>
  Object.entries(entry).reduce<Leg>((sum, [key, value]) => {
    if (!isExtra(key)) return sum;
    const known = Object.keys(sum).find((name) => sameKey(name, key));
    return { ...sum, [known ?? key]: value };
  }, leg);

/** Legs by recursion over whole objects. */
function oracle(matrix: Record<string, Kind[]>, excludes: Leg[], includes: Leg[]): Leg[] {
  const cross = (keys: string[]): Leg[] => {
    const [key, ...rest] = keys;
    if (key === undefined) return [{}];
    return (matrix[key] ?? []).flatMap((value) =>
      cross(rest).map((tail) => ({ [key]: value, ...tail })),
    );
  };
  const keys = Object.keys(matrix);
  const isOwn = (key: string) => keys.some((own) => sameKey(own, key));
  const fits = (entry: Leg, leg: Leg) =>
    Object.entries(entry).every(([key, one]) => !isOwn(key) || fitsLeaves(one, valueAt(leg, key)));
  const product = keys.length === 0 ? [] : cross(keys);
  const kept = product.filter((leg) => !excludes.some((one) => fits(one, leg)));
  const merged = kept.map((leg) => {
    const fitting = includes.filter((entry) => fits(entry, leg));
    return fitting.reduce((sum, entry) => added(sum, entry, (key) => !isOwn(key)), leg);
  });
  const alone = includes.filter((entry) => !kept.some((leg) => fits(entry, leg)));
  // Those of the product come first in an entry of its own.
  return [
    ...merged,
    ...alone.map((entry) => added(added({}, entry, isOwn), entry, (key) => !isOwn(key))),
  ];
}

const leaf = fc.constantFrom<Kind>('a', 'A', 'b', '1', 1, 0, 2, true, false, null);
const anyValue = fc.oneof(
  { weight: 3, arbitrary: leaf },
  { weight: 1, arbitrary: fc.record({ k: leaf }) },
  { weight: 1, arbitrary: fc.record({ k: leaf, L: fc.oneof(leaf, fc.record({ m: leaf })) }) },
  { weight: 1, arbitrary: fc.record({ K: leaf }) },
);
/** Entries of some of these keys, no two of which are the same without case. */
const entryOf = (keys: string[]) =>
  fc
    .dictionary(fc.constantFrom(...keys), anyValue, {
      minKeys: 1,
      maxKeys: 3,
      noNullPrototype: true,
    })
    .filter(
      (entry) =>
        new Set(Object.keys(entry).map((key) => key.toLowerCase())).size ===
        Object.keys(entry).length,
    );

test('generated matrices of every kind of value expand as the oracle says', () => {
  const vectors = fc.dictionary(
    fc.constantFrom('a', 'b', 'c'),
    fc.array(anyValue, { minLength: 1, maxLength: 3 }),
    { minKeys: 1, noNullPrototype: true },
  );
  const cases = vectors.chain((matrix) =>
    fc.record({
      matrix: fc.constant(matrix),
      excludes: fc.array(entryOf(Object.keys(matrix).flatMap((key) => [key, key.toUpperCase()])), {
        maxLength: 3,
      }),
      includes: fc.array(entryOf(['a', 'A', 'b', 'c', 'd', 'D', 'e']), { maxLength: 5 }),
    }),
  );
  let [several, grown, alone] = [0, 0, 0];
  fc.assert(
    fc.property(cases, ({ matrix, excludes, includes }) => {
      const expected = oracle(matrix, excludes, includes);
      const said = legs({ ...matrix, exclude: excludes, include: includes });
      assert.deepEqual(said, expected);
      assert.deepEqual(said.map(Object.keys), expected.map(Object.keys), 'the order of the keys');
      const keys = Object.keys(matrix).length;
      if (expected.length > 3) several++;
      if (expected.some((leg) => Object.keys(leg).length > keys)) grown++;
      if (expected.length > oracle(matrix, excludes, []).length) alone++;
    }),
    { numRuns: 4000 },
  );
  assert.ok(several > 400 && grown > 400 && alone > 400, `${several}, ${grown}, ${alone}`);
});

test('generated filters of every kind exclude what a comparison of leaves says', () => {
  const value = fc.oneof(leaf, fc.record({ k: leaf }), fc.record({ k: leaf, l: leaf }));
  const cases = fc.record({
    a: fc.array(value, { minLength: 1, maxLength: 4 }),
    b: fc.array(leaf, { minLength: 1, maxLength: 3 }),
    exclude: fc.array(fc.record({ a: value, b: leaf }, { requiredKeys: ['a'] }), { maxLength: 3 }),
  });
  let excluded = 0;
  fc.assert(
    fc.property(cases, ({ a, b, exclude }) => {
      const all = a.flatMap((one) => b.map((other) => ({ a: one, b: other })));
      const kept = all.filter((leg) => !exclude.some((filter) => fitsLeaves(filter, leg)));
      assert.deepEqual(legs({ a, b, exclude }), kept);
      if (kept.length < all.length) excluded++;
    }),
    { numRuns: 3000 },
  );
  assert.ok(excluded > 300, `only ${excluded} of 3000 excluded anything`);
});
