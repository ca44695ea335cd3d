/** Matrix expansion: the examples of GitHub's documentation, and an oracle of another build. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Json, JsonObject } from '@onejob/protocol';
import fc from 'fast-check';
import { expandMatrix, MatrixError } from './matrix.ts';
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

test('256 legs are allowed, 257 are not, and a product of millions is refused unwalked', () => {
  const count = (n: number): Json[] => Array.from({ length: n }, (_, i) => i);
  assert.equal(legs({ a: count(16), b: count(16) }).length, 256);
  assert.throws(() => legs({ a: count(257) }), /more than 256/);
  assert.throws(() => legs({ a: count(256), include: [{ a: 'x' }] }), /more than 256/);
  assert.equal(legs({ a: count(300), exclude: count(50).map((a) => ({ a })) }).length, 250);
  const huge = Object.fromEntries(Array.from('abcdefgh', (key) => [key, count(200)]));
  assert.throws(() => legs(huge), /more than 256/);
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

/** Legs by recursion over whole objects; values are texts, so that equality is plain. */
function oracle(matrix: Record<string, string[]>, excludes: Flat[], includes: Flat[]): Flat[] {
  const cross = (keys: string[]): Flat[] => {
    const [key, ...rest] = keys;
    if (key === undefined) return [{}];
    return (matrix[key] ?? []).flatMap((value) =>
      cross(rest).map((tail) => ({ [key]: value, ...tail })),
    );
  };
  const keys = Object.keys(matrix);
  const product = keys.length === 0 ? [] : cross(keys);
  const kept = product.filter(
    (leg) => !excludes.some((one) => Object.keys(one).every((key) => one[key] === leg[key])),
  );
  const fits = (entry: Flat, leg: Flat) =>
    keys.every((key) => !(key in entry) || entry[key] === leg[key]);
  const merged = kept.map((leg) => {
    const fitting = includes.filter((entry) => fits(entry, leg));
    return fitting.reduce((sum, entry) => ({ ...sum, ...entry }), leg);
  });
  return [...merged, ...includes.filter((entry) => !kept.some((leg) => fits(entry, leg)))];
}
type Flat = Record<string, string>;

test('generated matrices expand as the oracle says', () => {
  const value = fc.constantFrom('x', 'y', 'z', 'w');
  const flat = (keys: string[]) =>
    fc.dictionary(fc.constantFrom(...keys), value, {
      minKeys: 1,
      maxKeys: 3,
      noNullPrototype: true,
    });
  const vectors = fc.dictionary(
    fc.constantFrom('a', 'b', 'c'),
    fc.uniqueArray(value, { minLength: 1 }),
    {
      minKeys: 1,
      noNullPrototype: true,
    },
  );
  const cases = vectors.chain((matrix) =>
    fc.record({
      matrix: fc.constant(matrix),
      excludes: fc.array(flat(Object.keys(matrix)), { maxLength: 4 }),
      includes: fc.array(flat(['a', 'b', 'c', 'd', 'e']), { maxLength: 5 }),
    }),
  );
  let several = 0;
  fc.assert(
    fc.property(cases, ({ matrix, excludes, includes }) => {
      const expected = oracle(matrix, excludes, includes);
      assert.deepEqual(legs({ ...matrix, exclude: excludes, include: includes }), expected);
      if (expected.length > 3) several++;
    }),
    { numRuns: 2000 },
  );
  assert.ok(several > 200);
});

type Kind = string | number | boolean | null | { [key: string]: Kind };

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

/** Every leaf of the filter equals the leaf at its place, and there is one. */
function fitsLeaves(filter: Kind, value: Kind): boolean {
  if (typeof filter !== 'object' || filter === null) {
    return (typeof value !== 'object' || value === null) && sameLeaf(filter, value);
  }
  const inner = typeof value === 'object' && value !== null ? value : {};
  return Object.entries(filter).every(([key, one]) => fitsLeaves(one, inner[key] ?? null));
}

test('generated filters of every kind exclude what a comparison of leaves says', () => {
  const leaf = fc.constantFrom<Kind>('a', 'A', 'b', '1', 1, 0, 2, true, false, null);
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
      if (kept.length > 0) assert.deepEqual(legs({ a, b, exclude }), kept);
      if (kept.length < all.length) excluded++;
    }),
    { numRuns: 3000 },
  );
  assert.ok(excluded > 300, `only ${excluded} of 3000 excluded anything`);
});
