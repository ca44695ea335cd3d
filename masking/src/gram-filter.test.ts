import assert from 'node:assert/strict';
import { test } from 'node:test';

import fc from 'fast-check';

import { GramFilter } from './gram-filter.ts';

const form = fc
  .uint8Array({ minLength: 1, maxLength: 20 })
  .map((bytes) => Buffer.from(bytes).toString('latin1'));

test('wherever a form stands, one of the places looked at before its end is a maybe', () => {
  fc.assert(
    fc.property(
      fc.array(fc.array(form, { minLength: 1, maxLength: 5 }), { minLength: 1, maxLength: 4 }),
      fc.nat(40),
      fc.nat(),
      (batches, before, pick) => {
        const filter = new GramFilter();
        const forms: string[] = [];
        for (const batch of batches) {
          for (const one of batch) filter.add(one);
          forms.push(...batch);
          filter.prepare();
          const wanted = forms[pick % forms.length]!;
          const bytes = Buffer.from('\x55'.repeat(before) + wanted + '\x55'.repeat(20), 'latin1');
          const last = bytes.length - filter.gramBytes;
          for (let start = 0; start <= before; start++) {
            let at = start + filter.stride - 1;
            do at = filter.next(bytes, at, last) + filter.stride;
            while (at - filter.stride < before && at <= last);
            const found = at - filter.stride;
            assert.ok(found <= before + filter.stride - 1, `${found} is after ${before}`);
          }
        }
      },
    ),
    { numRuns: 500 },
  );
});

test('long secrets are looked for at few places, short ones at every place', () => {
  const filter = new GramFilter();
  filter.add('a secret of many bytes');
  filter.prepare();
  assert.deepEqual([filter.gramBytes, filter.stride], [4, 8]);
  filter.add('seven77');
  filter.prepare();
  assert.deepEqual([filter.gramBytes, filter.stride], [4, 4]);
  filter.add('ab');
  filter.prepare();
  assert.deepEqual([filter.gramBytes, filter.stride], [3, 1]);
});

test('ten thousand forms leave most places without a maybe', () => {
  const filter = new GramFilter();
  for (let i = 0; i < 10_000; i++) filter.add(`${(i * 2654435761) >>> 0}-secret-${i}`);
  filter.prepare();
  const bytes = Buffer.from('The quick brown fox jumps over the lazy dog, again and again.\n');
  let maybes = 0;
  for (let at = 0; at <= bytes.length - 4; at++) if (filter.next(bytes, at, at) === at) maybes++;
  assert.ok(maybes < bytes.length / 4, `${maybes} of ${bytes.length}`);
});
