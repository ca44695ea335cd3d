/** Names of runs are stored with them and told by the API. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import type { ErrorBody, Run } from '@onejob/protocol';
import { systemClock } from '../src/clock.ts';
import { statements as runNames } from '../src/store/migrations/0005-run-names.ts';
import { Notifier } from '../src/store/notifier.ts';
import { openStore } from '../src/store/store.ts';
import { onEveryDatabase } from './_databases.ts';
import { starter, withJobs } from './_grouped.ts';
import { makeJob } from './_jobs.ts';
import { Platform, RUN } from './_platform.ts';

const named = (runName: string): string => `name: CI\nrun-name: ${runName}\n${withJobs({ a: [] })}`;

onEveryDatabase(
  'names of runs',
  (start) => {
    test("a run is called by its workflow's words, by its event, or as its workflow", async () => {
      await using platform = await start();
      const words = '"${{ inputs.x }} ${{ vars.y }} ${{ github.run_number }}/${{ github.run_id }}"';
      const run = await starter(platform, named(words));
      const first = await run({ inputs: { x: 'a\0b' }, vars: { y: 'c' } });
      assert.equal(first.name, 'a\ufffdb c 1/1');
      const { runs } = (await platform.api('GET', '/runs')).body as { runs: Run[] };
      assert.deepEqual(
        runs.map((one) => one.name),
        [first.name],
      );
      const plain = await starter(platform, `name: CI\n${withJobs({ a: [] })}`);
      const payload = { head_commit: { message: 'Fix it\n\nWith care.' } };
      assert.equal((await plain({ event: { name: 'push', payload } })).name, 'Fix it');
      assert.equal((await plain()).name, 'CI');
    });
  },
  { pglite: 'in long tests' },
);

test('a name that cannot be evaluated is refused with its place, and nothing is stored', async () => {
  await using platform = await Platform.start();
  const sha = await platform.snapshot({
    '.github/workflows/ci.yml': named('${{ fromJSON(github.actor) }}'),
  });
  const { status, body } = await platform.api('POST', '/runs', { ...RUN, sha });
  const { error } = body as ErrorBody;
  assert.deepEqual([status, error.code], [422, 'invalid_workflow']);
  assert.match(error.message, /ci\.yml:2:11: Error when evaluating 'run-name'/);
  assert.deepEqual((await platform.api('GET', '/runs')).body, { runs: [] });
});

test('runs from before there were names are called by their workflow', async () => {
  const parts = { clock: systemClock, notifier: new Notifier() };
  await using store = await openStore({ kind: 'pglite', directory: undefined }, parts);
  await makeJob(store);
  await sql`alter table runs drop column name`.execute(store.db);
  for (const statement of runNames) await sql.raw(statement).execute(store.db);
  const names = await store.db.selectFrom('runs').select(['name', 'workflow_name']).execute();
  assert.deepEqual(names, [{ name: 'ci', workflow_name: 'ci' }]);
});
