import assert from 'node:assert/strict';
import { test } from 'node:test';
import { sql } from 'kysely';
import { systemClock } from '../src/clock.ts';
import { statements as tenantUsage } from '../src/store/migrations/0002-tenant-usage.ts';
import { Notifier } from '../src/store/notifier.ts';
import { openStore } from '../src/store/store.ts';
import { makeJob } from './_jobs.ts';

test('minutes of jobs that ended before there was a count of them are counted', async () => {
  const parts = { clock: systemClock, notifier: new Notifier() };
  await using store = await openStore({ kind: 'pglite', directory: undefined }, parts);
  const lastOfOctober = Date.UTC(2026, 9, 31, 23, 59);
  const ended = async (minutes: number, conclusion: 'failure' | 'lost', tenant?: string) => {
    const id = await makeJob(store, tenant);
    const times = {
      adopted_at_ms: lastOfOctober,
      finished_at_ms: lastOfOctober + minutes * 60_000,
    };
    const end = { state: 'finished', conclusion, end_reason: 'step_failed' } as const;
    await store.db
      .updateTable('jobs')
      .set({ ...end, ...times })
      .where('id', '=', id)
      .execute();
  };
  await ended(7.5, 'failure');
  await ended(0, 'failure');
  await ended(50, 'lost');
  await ended(2, 'failure', 'zoo');
  await makeJob(store);

  const count = tenantUsage.find((text) => text.startsWith('insert into tenant_minutes'));
  await sql.raw(count!).execute(store.db);
  const rows = await store.db.selectFrom('tenant_minutes').selectAll().orderBy('tenant').execute();
  assert.deepEqual(rows, [
    { tenant: 'acme', month: '2026-10', minutes: 8 + 1 },
    { tenant: 'zoo', month: '2026-10', minutes: 2 },
  ]);
});
