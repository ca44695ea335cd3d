/**
 * Brings a database to this program's revision, in numbered steps, each in a transaction under one
 * advisory lock. A database that is ahead of the program is refused with both revisions named:
 * running old code on a newer schema would write rows the newer code cannot read.
 */
import { type Kysely, sql } from 'kysely';
import { ControlPlaneError } from '../errors.ts';
import { statements as first } from './migrations/0001-first.ts';
import { statements as tenantUsage } from './migrations/0002-tenant-usage.ts';
import { statements as runWarnings } from './migrations/0003-run-warnings.ts';
import { statements as concurrency } from './migrations/0004-concurrency.ts';
import { statements as runNames } from './migrations/0005-run-names.ts';
import { statements as calledWorkflows } from './migrations/0006-called-workflows.ts';
import { statements as runAttempts } from './migrations/0007-run-attempts.ts';
import { statements as callGroups } from './migrations/0008-call-groups.ts';
import { statements as egress } from './migrations/0009-egress.ts';
import type { Tables } from './tables.ts';

/** Place in the list + 1 is the revision. Append only. */
const MIGRATIONS: readonly { name: string; statements: readonly string[] }[] = [
  { name: '0001-first', statements: first },
  { name: '0002-tenant-usage', statements: tenantUsage },
  { name: '0003-run-warnings', statements: runWarnings },
  { name: '0004-concurrency', statements: concurrency },
  { name: '0005-run-names', statements: runNames },
  { name: '0006-called-workflows', statements: calledWorkflows },
  { name: '0007-run-attempts', statements: runAttempts },
  { name: '0008-call-groups', statements: callGroups },
  { name: '0009-egress', statements: egress },
];
const SCHEMA_REVISION = MIGRATIONS.length;

/** Any number, the same in every version of onejob: two starting processes take turns. */
const MIGRATION_LOCK = 7_061_102;

/** Returns the revision the database has now. */
export async function migrate(db: Kysely<Tables>, nowMs: number): Promise<number> {
  return await db.transaction().execute(async (tx) => {
    await sql`select pg_advisory_xact_lock(${sql.lit(MIGRATION_LOCK)})`.execute(tx);
    await sql`create table if not exists onejob_migrations (
      revision int primary key, name text not null, applied_at_ms bigint not null)`.execute(tx);
    const { rows } = await sql<{ revision: number | null }>`
      select max(revision) as revision from onejob_migrations`.execute(tx);
    const current = rows[0]?.revision ?? 0;
    if (current > SCHEMA_REVISION) {
      throw new ControlPlaneError(
        'schema_newer',
        `The database has schema revision ${current}; this onejob knows revisions up to ` +
          `${SCHEMA_REVISION}. Start the newer onejob that wrote it, or use another database.`,
      );
    }
    for (const [index, migration] of MIGRATIONS.entries()) {
      const revision = index + 1;
      if (revision <= current) continue;
      for (const statement of migration.statements) await sql.raw(statement).execute(tx);
      await sql`insert into onejob_migrations (revision, name, applied_at_ms)
        values (${revision}, ${migration.name}, ${nowMs})`.execute(tx);
    }
    return SCHEMA_REVISION;
  });
}
