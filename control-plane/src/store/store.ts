/**
 * The store: one database behind kysely, either PGlite in the data directory or Postgres.
 *
 * Promises: SQL is the same for both; bigint columns are JavaScript numbers in both (a value beyond
 * 2^53 is an error, never rounded); a transaction that lost a race is run again, so its body has no
 * effect but on the database; changes are published only after they are durable.
 */
import { Kysely, PGliteDialect, PostgresDialect, sql, type Transaction } from 'kysely';
import { ControlPlaneError } from '../errors.ts';
import type { Clock } from '../clock.ts';
import { DATABASE_CONNECTIONS, DATABASE_CONNECT_MS, TRANSACTION_ATTEMPTS } from '../limits.ts';
import { isRaceLost, translateDatabaseError } from './database-error.ts';
import { migrate } from './migrate.ts';
import type { Change, Notifier } from './notifier.ts';
import type { Tables } from './tables.ts';

/** What an operation works in: a transaction, the time it is said to happen, and news for others. */
export type Tx = {
  readonly db: Transaction<Tables>;
  readonly nowMs: number;
  /** Published after the commit; dropped with a rollback. */
  announce(change: Change): void;
};

type TransactionOptions = {
  /**
   * Do not wait for the disk. For what may be lost when the database's machine dies, without harm:
   * a lost offer or lease fences its agent, because its epoch and credentials are not there. What
   * commits later and waits takes these with it to the disk (PostgreSQL, "Asynchronous Commit").
   */
  mayBeLost?: boolean;
};

export type Store = AsyncDisposable & {
  readonly kind: 'pglite' | 'postgres';
  readonly schemaRevision: number;
  /** For single reads outside a transaction. */
  readonly db: Kysely<Tables>;
  readonly clock: Clock;
  readonly notifier: Notifier;
  transaction<T>(work: (tx: Tx) => Promise<T>, options?: TransactionOptions): Promise<T>;
};

type DatabaseConfig =
  | { kind: 'pglite'; directory: string | undefined }
  | { kind: 'postgres'; url: string };

const INT8_OID = 20;

function parseInt8(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new Error(`The integer ${text} is beyond 2^53.`);
  return value;
}

async function openEmbedded(directory: string | undefined): Promise<Kysely<Tables>> {
  // Loaded here, because a control plane on Postgres needs none of its 40 MB.
  const { openPglite } = await import('./pglite.ts');
  const pglite = await openPglite(directory, { parsers: { [INT8_OID]: parseInt8 } });
  return new Kysely<Tables>({ dialect: new PGliteDialect({ pglite }) });
}

async function openPostgres(url: string): Promise<Kysely<Tables>> {
  const { default: pg } = await import('pg');
  const pool = new pg.Pool({
    connectionString: url,
    max: DATABASE_CONNECTIONS,
    connectionTimeoutMillis: DATABASE_CONNECT_MS,
    application_name: 'onejob',
    types: {
      getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
        oid === INT8_OID && format !== 'binary'
          ? parseInt8
          : // oxlint-disable-next-line typescript/no-unsafe-enum-assignment -- any oid is asked for
            pg.types.getTypeParser(oid, format)) as typeof pg.types.getTypeParser,
    },
  });
  // A connection that breaks is replaced by the pool at its next use. One that is in use tells its
  // query; unheard, its own event would end the process.
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  return new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
}

export async function openStore(
  config: DatabaseConfig,
  parts: { clock: Clock; notifier: Notifier },
): Promise<Store> {
  const { clock, notifier } = parts;
  const db =
    config.kind === 'pglite'
      ? await openEmbedded(config.directory)
      : await openPostgres(config.url);
  let schemaRevision: number;
  try {
    schemaRevision = await migrate(db, clock.nowMs());
  } catch (cause) {
    await db.destroy().catch(() => {});
    throw translateDatabaseError(cause);
  }

  async function attempt<T>(work: (tx: Tx) => Promise<T>, options: TransactionOptions): Promise<T> {
    const changes: Change[] = [];
    const result = await db.transaction().execute(async (transaction) => {
      if (options.mayBeLost === true) {
        await sql`set local synchronous_commit = off`.execute(transaction);
      }
      return await work({
        db: transaction,
        nowMs: clock.nowMs(),
        announce: (change) => void changes.push(change),
      });
    });
    notifier.publish(changes);
    return result;
  }

  return {
    kind: config.kind,
    schemaRevision,
    db,
    clock,
    notifier,
    async transaction(work, options = {}) {
      for (let tries = 1; ; tries += 1) {
        try {
          return await attempt(work, options);
        } catch (error) {
          if (isRaceLost(error) && tries < TRANSACTION_ATTEMPTS) continue;
          throw translateDatabaseError(error);
        }
      }
    },
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
