/** Runs the same tests on every database the control plane supports. */
import { after, before, describe, type SuiteContext } from 'node:test';
import type { ControlPlaneConfig } from '../src/index.ts';
import { Platform } from './_platform.ts';
import { postgresMissing, TestPostgres } from './_postgres.ts';

const DATABASES = ['PGlite', 'Postgres'];
let areLong = false;

/** Called before the suites are loaded: they then do what they leave to the long tests. */
export function doLongTests(): void {
  areLong = true;
}

export type StartPlatform = (config?: Partial<ControlPlaneConfig>) => Promise<Platform>;

/**
 * `tests` gets a function that starts a control plane on a database of its own. Suites that only ask
 * SQL of which others show that it is the same may leave PGlite, the slower one, to the long tests
 * (on-pglite.long.test.ts).
 */
export function onEveryDatabase(
  name: string,
  tests: (start: StartPlatform) => void,
  { pglite }: { pglite: 'always' | 'in long tests' } = { pglite: 'always' },
): void {
  const isElsewhere = pglite === 'in long tests' && postgresMissing === false;
  const wanted = isElsewhere ? [areLong ? 'PGlite' : 'Postgres'] : DATABASES;
  onEach(name, wanted, (newPostgresUrl) => {
    tests(async (config) => {
      const url = await newPostgresUrl();
      const database = url === undefined ? {} : { database: { kind: 'postgres' as const, url } };
      return await Platform.start({ ...database, ...config });
    });
  });
}

/** `tests` gets a function that says where an empty database is, for tests of the store alone. */
export function onEveryStore(
  name: string,
  tests: (newDatabase: () => Promise<StoreConfig>) => void,
): void {
  onEach(name, DATABASES, (newPostgresUrl) => {
    tests(async () => {
      const url = await newPostgresUrl();
      return url === undefined
        ? { kind: 'pglite', directory: undefined }
        : { kind: 'postgres', url };
    });
  });
}

type StoreConfig = { kind: 'pglite'; directory: undefined } | { kind: 'postgres'; url: string };

/** `tests` gets a function that makes a database on a Postgres server; on PGlite it makes none. */
function onEach(
  name: string,
  wanted: readonly string[],
  tests: (newPostgresUrl: () => Promise<string | undefined>) => void,
): void {
  if (wanted.includes('PGlite')) {
    describe(`${name}, on PGlite`, () => {
      tests(async () => await Promise.resolve(undefined));
    });
  }
  if (!wanted.includes('Postgres')) return;
  describe(`${name}, on Postgres`, { skip: postgresMissing }, (_context: SuiteContext) => {
    let server: TestPostgres | undefined;
    before(async () => {
      server = await TestPostgres.start();
    });
    after(async () => {
      await server?.[Symbol.asyncDispose]();
    });
    tests(async () => {
      if (server === undefined) throw new Error('Postgres did not start');
      return await server.createDatabase();
    });
  });
}
