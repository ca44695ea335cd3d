import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { callerOf, idsOf, isWithin, keyIn, scopeOf, scopeOfLeg } from './job-keys.ts';

/** Keys as GitHub allows them in a file. */
const id = fc.stringMatching(/^[A-Za-z_][A-Za-z0-9_-]{0,8}$/);
/** A way through calls: each with a matrix leg or without. */
const way = fc.array(fc.record({ id, leg: fc.option(fc.nat(255)) }), { maxLength: 9 });

const scopeOfWay = (steps: readonly { id: string; leg: number | null }[]): string =>
  steps.reduce(
    (scope, step) =>
      scopeOfLeg(keyIn(scope, step.id), {
        index: step.leg ?? 0,
        matrix: step.leg === null ? null : {},
      }),
    '',
  );

test('a key tells its scope, the leg that called, and the way through the files', () => {
  fc.assert(
    fc.property(way, id, (steps, own) => {
      const scope = scopeOfWay(steps);
      const key = keyIn(scope, own);
      assert.equal(scopeOf(key), scope);
      assert.deepEqual(idsOf(key), [...steps.map((step) => step.id), own]);
      assert.ok(isWithin(key, scope));
      const last = steps.at(-1);
      const caller = last && {
        key: keyIn(scopeOfWay(steps.slice(0, -1)), last.id),
        legIndex: last.leg ?? 0,
      };
      assert.deepEqual(callerOf(scope), caller);
    }),
    { numRuns: 1000 },
  );
});

test('keys of one name beside each other are not within each other', () => {
  assert.equal(isWithin('build-2.a', 'build'), false);
  assert.equal(isWithin('build', 'build'), false);
  assert.equal(isWithin('build.1.a', 'build.1'), true);
  assert.equal(isWithin('build.10.a', 'build.1'), false);
});
