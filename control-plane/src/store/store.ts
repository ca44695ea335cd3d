/**
 * The store: one database behind kysely, either PGlite in the data directory or Postgres.
 *
 * Promises: SQL is the same for both; bigint columns are JavaScript numbers in both (a value beyond
 * 2^53 is an error, never rounded); a transaction that lost a race is run again, so its body has no
 * effect but on the database; changes are published only after they are durable.
 */
import { type Kysely, sql, type Transaction } from 'kysely';
import { ControlPlaneError } from '../errors.ts';
import type { Clock } from '../clock.ts';
import { TRANSACTION_ATTEMPTS } from '../limits.ts';
import { isRaceLost, translateDatabaseError } from './database-error.ts';
import { migrate } from './migrate.ts';
import type { Change, Notifier } from './notifier.ts';
import { type DatabaseConfig, openEmbedded, openPostgres, type RunQuery } from './open-database.ts';
import type { Tables } from './tables.ts';

/** What a write works with: the database, the time it is said to happen, and news for others. */
export type Writer = {
  readonly db: Kysely<Tables>;
  /** Runs a query of `db`; in `Store.statement` without parsing and planning it each time. */
  run: RunQuery;
  readonly nowMs: number;
  /** Published after the commit; dropped with a rollback. */
  announce(change: Change): void;
};

/** What an operation of several statements works in. */
export type Tx = Writer & { readonly db: Transaction<Tables> };

/**
 * A condition that always holds, for a statement that commits by itself: it does not wait for the
 * disk. For what may be lost when the database's machine dies, without harm: a lost offer or lease
 * fences its agent, because its epoch and credentials are not there. What commits later and waits
 * takes these with it to the disk (PostgreSQL, "Asynchronous Commit").
 */
export const mayBeLost = sql<boolean>`(select set_config('synchronous_commit', 'off', true)) = 'off'`;

export type Store = AsyncDisposable & {
  readonly kind: 'pglite' | 'postgres';
  readonly schemaRevision: number;
  /** For single reads outside a transaction. */
  readonly db: Kysely<Tables>;
  /** The same for a read that is done all the time: it is parsed and planned once a connection. */
  readonly run: RunQuery;
  readonly clock: Clock;
  readonly notifier: Notifier;
  transaction<T>(work: (tx: Tx) => Promise<T>): Promise<T>;
  /** For one statement that commits by itself: one round trip, not four. `work` runs it and no other. */
  statement<T>(work: (writer: Writer) => Promise<T>): Promise<T>;
};

export async function openStore(
  config: DatabaseConfig,
  parts: { clock: Clock; notifier: Notifier },
): Promise<Store> {
  const { clock, notifier } = parts;
  const { db, run, accept, refuse } =
    config.kind === 'pglite'
      ? await openEmbedded(config.directory)
      : await openPostgres(config.url);
  let schemaRevision: number;
  try {
    schemaRevision = await migrate(db, clock.nowMs());
  } catch (cause) {
    throw translateDatabaseError(await refuse(cause));
  }
  accept?.();

  /** Runs `write` until it wins its races; then publishes what it announced. */
  async function settle<T>(write: (announce: Writer['announce']) => Promise<T>): Promise<T> {
    for (let tries = 1; ; tries += 1) {
      const changes: Change[] = [];
      try {
        const result = await write((change) => void changes.push(change));
        notifier.publish(changes);
        return result;
      } catch (error) {
        if (isRaceLost(error) && tries < TRANSACTION_ATTEMPTS) continue;
        throw translateDatabaseError(error);
      }
    }
  }

  return {
    kind: config.kind,
    schemaRevision,
    db,
    run,
    clock,
    notifier,
    transaction: async (work) =>
      await settle(
        async (announce) =>
          await db.transaction().execute(
            async (tx) =>
              await work({
                db: tx,
                run: async (query) => (await tx.executeQuery(query)).rows,
                nowMs: clock.nowMs(),
                announce,
              }),
          ),
      ),
    statement: async (work) =>
      await settle(async (announce) => await work({ db, run, nowMs: clock.nowMs(), announce })),
    async [Symbol.asyncDispose]() {
      await db.destroy();
    },
  };
}

/** Asserts that a row that must exist does. */
export function required<T>(row: T | undefined, what: string): T {
  if (row === undefined) throw new ControlPlaneError('not_found', `There is no ${what}.`);
  return row;
}
