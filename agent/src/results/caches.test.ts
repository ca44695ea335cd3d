import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { chooseCache } from './caches.ts';
import type { CacheName, Entry } from './store.ts';

let id = 0;
/** Later ones are newer. */
const cache = (ref: string, key: string, version = 'v'): Entry<CacheName> => ({
  id: ++id,
  name: { kind: 'cache', ref, version, key },
  jobId: 'j',
  mimeType: '',
  sizeBytes: 1,
  sha256: '',
  createdAtMs: id,
  expiresAtMs: Infinity,
});
const newestFirst = (entries: Entry<CacheName>[]): Entry<CacheName>[] =>
  entries.toSorted((a, b) => b.id - a.id);

test('the current ref comes before the base, and the base before the default branch', () => {
  const entries = newestFirst([
    cache('pr', 'npm-1'),
    cache('base', 'npm-1'),
    cache('main', 'npm-1'),
  ]);
  const find = (...refs: string[]) =>
    chooseCache(entries, refs, { keys: ['npm-1'], version: 'v' })?.name.ref;
  assert.equal(find('pr', 'base', 'main'), 'pr');
  assert.equal(find('other', 'base', 'main'), 'base');
  assert.equal(find('other', 'main'), 'main');
  assert.equal(find('other'), undefined);
});

test('the same key comes before one that begins with it, and of those the newest', () => {
  const entries = newestFirst([cache('r', 'npm'), cache('r', 'npm-1'), cache('r', 'npm-2')]);
  const find = (...keys: string[]) => chooseCache(entries, ['r'], { keys, version: 'v' })?.name.key;
  assert.equal(find('npm'), 'npm');
  assert.equal(find('npm-'), 'npm-2');
  assert.equal(find('yarn', 'npm-1', 'npm-2'), 'npm-1');
  assert.equal(find('pm'), undefined);
});

test('a cache of another version is another cache', () => {
  const entries = [cache('r', 'npm', 'of other paths')];
  assert.equal(chooseCache(entries, ['r'], { keys: ['npm'], version: 'v' }), undefined);
});

test('what is found is readable, of the version, and the best there is', () => {
  const word = fc.constantFrom('a', 'ab', 'abc', 'b', '__proto__', 'constructor');
  const ref = fc.constantFrom('x', 'y', 'z', 'constructor');
  const entry = fc.tuple(ref, word, fc.constantFrom('v', 'w'));
  const list = <T>(of: fc.Arbitrary<T>) => fc.array(of, { maxLength: 4 });
  fc.assert(
    fc.property(fc.array(entry, { maxLength: 12 }), list(ref), list(word), (made, refs, keys) => {
      const entries = newestFirst(made.map(([at, key, version]) => cache(at, key, version)));
      const found = chooseCache(entries, refs, { keys, version: 'v' });
      // Every entry that fits, by the rank that the documentation gives it.
      const ranked = refs.flatMap((at) =>
        keys.flatMap((key) => {
          const here = entries.filter((one) => one.name.ref === at && one.name.version === 'v');
          const begins = here.filter((one) => one.name.key.startsWith(key));
          return [...begins.filter((one) => one.name.key === key), ...begins];
        }),
      );
      assert.equal(found?.name.key, ranked[0]?.name.key);
      assert.equal(found?.name.ref, ranked[0]?.name.ref);
    }),
  );
});
