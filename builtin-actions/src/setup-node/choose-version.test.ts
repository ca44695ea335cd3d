import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { chooseRelease, isFitting, readIndex, readWanted } from './choose-version.ts';

const HERE = 'linux-x64';
/** As nodejs.org lists them. */
const INDEX = [
  { version: 'v25.1.0', files: [HERE, 'linux-arm64'], lts: false },
  { version: 'v24.9.0', files: ['linux-arm64'], lts: 'Krypton' },
  { version: 'v24.2.0', files: [HERE], lts: 'Krypton' },
  { version: 'v24.0.0', files: [HERE], lts: false },
  { version: 'v22.20.0', files: [HERE], lts: 'Jod' },
  { version: 'v22.9.0', files: [HERE], lts: false },
  { version: 'v20.1.0', files: [HERE], lts: 'Iron' },
];
const choose = (spec: string): string | undefined =>
  chooseRelease(readIndex(INDEX), readWanted(spec), HERE);

test('a range means the newest release of it that there is for the platform', () => {
  assert.equal(choose('24'), '24.2.0');
  assert.equal(choose('24.x'), '24.2.0');
  assert.equal(choose('v22.9.0'), '22.9.0');
  assert.equal(choose('>=20 <24'), '22.20.0');
  assert.equal(choose('*'), '25.1.0');
  assert.equal(choose('^24.5'), undefined);
});

test('aliases mean the newest release, and the newest of a line of long-term support', () => {
  for (const alias of ['latest', 'current', 'node']) assert.equal(choose(alias), '25.1.0');
  assert.equal(choose('lts/*'), '24.2.0');
  assert.equal(choose('lts/-1'), '22.20.0');
  assert.equal(choose('lts/-2'), '20.1.0');
  assert.equal(choose('lts/Iron'), '20.1.0');
});

test('what means nothing is refused by name', () => {
  assert.throws(() => choose('lts/argon'), /Unable to find LTS release 'argon'/);
  assert.throws(() => choose('lts/-9'), /Unable to find LTS release '-9'/);
  assert.throws(() => choose('lts/constructor'), /Unable to find LTS release/);
  assert.throws(() => choose('lts/'), /Unable to parse LTS alias/);
  assert.throws(() => choose('25-nightly'), /Nightly builds, .* are not supported/);
  assert.throws(() => choose('twenty'), /'twenty' is no version of Node/);
});

test('an index that is none is refused, and entries that are none are left out', () => {
  assert.throws(() => readIndex({ error: 'not here' }), /it holds no list of releases/);
  const wrong = [null, 1, {}, { version: '../../x', files: [] }, { version: 'v1.0.0', files: 'a' }];
  assert.deepEqual(readIndex(wrong), []);
});

test('a Node that is there fits its range and the name of its line', () => {
  const node = { version: '24.21.0', lts: 'Krypton' };
  for (const spec of ['24', '>=20', 'lts/krypton', '24.21.0']) {
    assert.ok(isFitting(readWanted(spec), node), spec);
  }
  for (const spec of ['22', 'lts/jod', 'lts/*', 'latest']) {
    assert.ok(!isFitting(readWanted(spec), node), spec);
  }
  assert.ok(!isFitting(readWanted('lts/*'), { version: '25.1.0', lts: '' }));
});

test('whatever is asked for, the answer is a release of the index, none, or a sentence', () => {
  const versions = INDEX.map(({ version }) => version.slice(1));
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string(),
        fc.string().map((text) => `lts/${text}`),
      ),
      (spec) => {
        try {
          const chosen = choose(spec);
          assert.ok(chosen === undefined || versions.includes(chosen));
        } catch (error) {
          assert.match(String(error), /Error: (?:Unable to|'[^]*' is no version of Node)/);
        }
      },
    ),
  );
});
