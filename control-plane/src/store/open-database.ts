/**
 * Connects kysely to one of the two databases. Both are spoken to by the same client in PostgreSQL's
 * own protocol, so that values are written and read alike.
 */
import { createHash } from 'node:crypto';
import { type CompiledQuery, Kysely, PostgresDialect, type PostgresPoolClient } from 'kysely';
import type { CustomTypesConfig, Pool } from 'pg';
import { DATABASE_CONNECTIONS, DATABASE_CONNECT_MS, KEPT_STATEMENTS } from '../limits.ts';
import type { Tables } from './tables.ts';

export type DatabaseConfig =
  | { kind: 'pglite'; directory: string | undefined }
  | { kind: 'postgres'; url: string };

/** Answers the rows of a compiled query. */
export type RunQuery = <Row>(query: CompiledQuery<Row>) => Promise<Row[]>;

type OpenDatabase = {
  readonly db: Kysely<Tables>;
  /** For what is asked all the time: it is parsed and planned once a connection. */
  readonly run: RunQuery;
  /** Called when its schema is known to be ours. */
  accept?: () => void;
  /** Called instead, when it is refused. */
  refuse: (cause: unknown) => Promise<unknown>;
};

const INT8_OID = 20;

function parseInt8(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new Error(`The integer ${text} is beyond 2^53.`);
  return value;
}

const typesOf = (known: CustomTypesConfig): CustomTypesConfig => ({
  getTypeParser: ((oid: number, format?: 'text' | 'binary') =>
    oid === INT8_OID && format !== 'binary'
      ? parseInt8
      : // oxlint-disable-next-line typescript/no-unsafe-enum-assignment -- any oid is asked for
        known.getTypeParser(oid, format)) as CustomTypesConfig['getTypeParser'],
});

/**
 * A connection that breaks is replaced by the pool at its next use. One that is in use tells its
 * query; unheard, its own event would end the process.
 */
function tellQueriesOnly(pool: Pool): void {
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
}

export async function openEmbedded(directory: string | undefined): Promise<OpenDatabase> {
  // Loaded here, because a control plane on Postgres needs none of its 40 MB.
  const { openPglite, PGlite } = await import('./pglite.ts');
  const { PgliteStream } = await import('./pglite-stream.ts');
  const { default: pg } = await import('pg');
  const embedded = directory === undefined ? undefined : await openPglite(directory);
  const pglite = embedded ?? (await PGlite.create());
  // It has one session, and everybody waits for it as long as it takes.
  const pool = new pg.Pool({
    max: 1,
    idleTimeoutMillis: 0,
    user: 'postgres',
    database: 'postgres',
    stream: () => new PgliteStream(pglite),
    types: typesOf(pg.types),
  });
  tellQueriesOnly(pool);
  const statements = new KeptStatements();
  const failureOf = (error: unknown): unknown => embedded?.failureOf(error) ?? error;
  const connect = async (): Promise<PostgresPoolClient> => {
    const client = await pool.connect().catch((error: unknown) => {
      throw failureOf(error);
    });
    const query = async (text: string, values: readonly unknown[]) => {
      try {
        return await client.query({ ...statements.nameOf(text), text, values: [...values] });
      } catch (error) {
        throw failureOf(error);
      }
    };
    return {
      query: query as unknown as PostgresPoolClient['query'],
      release: () => client.release(),
    };
  };
  const end = async (): Promise<void> => {
    await pool.end();
    await pglite.close();
  };
  const db = new Kysely<Tables>({
    dialect: new PostgresDialect({ pool: { connect, end, options: {} } }),
  });
  return {
    db,
    run: async (compiled) => (await db.executeQuery(compiled)).rows,
    accept: () => {
      statements.begin();
      embedded?.keepChanges();
    },
    refuse: async (cause) => {
      const explained = embedded?.explain(cause) ?? cause;
      embedded?.undoChanges(explained);
      await db.destroy().catch(() => {});
      return explained;
    },
  };
}

/**
 * Names under which a connection keeps statements parsed and planned, which is most of what a small
 * one costs in WebAssembly. The same text has the same name everywhere: processes may share a
 * connection behind a pooler. Texts with lists come in many lengths: not all of them are kept.
 */
class KeptStatements {
  readonly #names = new Map<string, string>();
  #limit = 0;

  /** Once tables change no more: a kept plan would know them as they were. */
  begin(): void {
    this.#limit = KEPT_STATEMENTS;
  }

  nameOf(text: string): { name?: string } {
    let name = this.#names.get(text);
    if (name === undefined && this.#names.size < this.#limit) {
      name = createHash('sha256').update(text).digest('base64url');
      this.#names.set(text, name);
    }
    return name === undefined ? {} : { name };
  }
}

export async function openPostgres(url: string): Promise<OpenDatabase> {
  const { default: pg } = await import('pg');
  const pool = new pg.Pool({
    connectionString: url,
    max: DATABASE_CONNECTIONS,
    connectionTimeoutMillis: DATABASE_CONNECT_MS,
    application_name: 'onejob',
    // Compiling a statement to machine code costs a hundred times what our largest one takes.
    // oxlint-disable-next-line typescript/no-misused-promises -- the pool waits, its types do not say so
    onConnect: async (client) => {
      await client.query('set jit = off');
    },
    types: typesOf(pg.types),
  });
  tellQueriesOnly(pool);
  const statements = new KeptStatements();
  statements.begin();
  const run: RunQuery = async <Row>({ sql: text, parameters }: CompiledQuery<Row>) => {
    const named = { ...statements.nameOf(text), text, values: [...parameters] };
    return (await pool.query(named)).rows as Row[];
  };
  const db = new Kysely<Tables>({ dialect: new PostgresDialect({ pool }) });
  const refuse = async (cause: unknown): Promise<unknown> => {
    await db.destroy().catch(() => {});
    return cause;
  };
  return { db, run, refuse };
}
