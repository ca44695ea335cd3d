/** onejob's own cache, cache/restore and cache/save, in jobs of real runs. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startConstellation, type Constellation, type EndedRun } from '@onejob/testing';
import { assertRows, job, rowsOf, workflow } from './_built-in.ts';

let all: Constellation;
before(async () => {
  all = await startConstellation();
});
after(async () => await all[Symbol.asyncDispose]());

const ON_MAIN = {
  ref: 'refs/heads/main',
  event: { name: 'push', payload: { repository: { default_branch: 'main' } } },
};
const run = async (steps: string): Promise<EndedRun> =>
  await all.run({ workflow: workflow(job('one', steps)), ...ON_MAIN });

const cache = (words: string, name = 'cache'): string => `
      - id: cache
        uses: actions/${name}@v4
        with: { path: deps, ${words} }`;
const HIT = `
      - run: |
          echo "hit '\${{ steps.cache.outputs.cache-hit }}'"
          echo "key '\${{ steps.cache.outputs.cache-primary-key }}' '\${{ steps.cache.outputs.cache-matched-key }}'"
          cat deps/file || true`;
const MAKE = `
      - run: mkdir -p deps && echo made by \${{ github.run_id }} > deps/file`;

test('what is not found is saved when the job succeeds, and found by the next', async () => {
  const first = await run(cache('key: a-1') + HIT + MAKE);
  assertRows(first, 'one', [
    "Action 'actions/cache@v4' is done by onejob itself",
    'Cache not found for input keys: a-1',
    "hit ''",
    'Cache saved with key: a-1',
  ]);
  const second = await run(cache('key: a-1') + HIT);
  assertRows(second, 'one', [
    'Cache restored from key: a-1',
    "hit 'true'",
    `made by ${first.run.number}`,
    'Cache hit occurred on the primary key a-1, not saving cache.',
  ]);
  const third = await run(cache('key: a-2, restore-keys: "b-\\na-"') + HIT);
  assertRows(third, 'one', [
    'Cache hit for restore-key: a-1',
    'Cache restored from key: a-1',
    "hit 'false'",
    'Cache saved with key: a-2',
  ]);
});

test('a job that fails saves nothing', async () => {
  const failed = await run(`${cache('key: f-1')}${MAKE}
      - run: exit 1`);
  assert.equal(failed.run.conclusion, 'failure');
  const next = await run(cache('key: f-1', 'cache/restore'));
  assertRows(next, 'one', ['Cache not found for input keys: f-1']);
});

test('restoring and saving can be steps of their own, and tell the keys', async () => {
  const saved = await run(MAKE + cache('key: r-1', 'cache/save'));
  assertRows(saved, 'one', ['Cache saved with key: r-1']);
  const again = await run(MAKE + cache('key: r-1', 'cache/save'));
  assertRows(again, 'one', ['##[warning]Cache save failed.']);
  const restored = await run(cache('key: r-2, restore-keys: r-', 'cache/restore') + HIT);
  assertRows(restored, 'one', ["hit 'false'", "key 'r-2' 'r-1'", `made by ${saved.run.number}`]);
});

test('a cache can be looked up without being restored, and its lack can fail the step', async () => {
  await run(MAKE + cache('key: l-1', 'cache/save'));
  const looked = await run(cache('key: l-1, lookup-only: true', 'cache/restore') + HIT);
  assertRows(looked, 'one', ['Cache found and can be restored from key: l-1', "hit 'true'"]);
  assert.ok(!rowsOf(looked, 'one').some((row) => row.startsWith('made by')));
  const missed = await run(cache('key: l-2, fail-on-cache-miss: true'));
  assert.equal(missed.run.conclusion, 'failure');
  assertRows(missed, 'one', [
    '##[error]Failed to restore cache entry. Exiting as fail-on-cache-miss is set. Input key: l-2',
  ]);
});

test('a key with a line break is refused, and is no command', async () => {
  const ended = await run(`
      - uses: actions/cache@v4
        continue-on-error: true
        with: { path: deps, key: "a\\n::warning::said" }`);
  assertRows(ended, 'one', [/a key cannot contain line breaks/]);
  const annotations = ended.run.jobs[0]?.annotations ?? [];
  assert.ok(annotations.every(({ annotation }) => annotation.level === 'error'));
});

test('inside a composite action a cache is saved after the job, too', async () => {
  const wrap = `runs:
  using: composite
  steps:
    - uses: actions/cache@v4
      with: { path: deps, key: c-1 }
    - { run: 'mkdir -p deps; echo wrapped >> deps/file', shell: bash }
`;
  const steps = `
      - uses: actions/checkout@v4
      - uses: ./wrap
      - run: cat deps/file`;
  const wrapped = { workflow: workflow(job('one', steps)), files: { 'wrap/action.yml': wrap } };
  assertRows(await all.run({ ...wrapped, ...ON_MAIN }), 'one', ['Cache saved with key: c-1']);
  const second = await all.run({ ...wrapped, ...ON_MAIN });
  assert.equal(rowsOf(second, 'one').filter((row) => row === 'wrapped').length, 2);
});

test('save-always is deprecated, as the action says', async () => {
  const ended = await run(cache('key: s-1, save-always: true'));
  assertRows(ended, 'one', [
    /^##\[warning\]Input 'save-always' has been deprecated with message: save-always does not work/,
  ]);
});
