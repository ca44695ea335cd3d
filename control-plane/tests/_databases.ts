/** Runs the same tests on every database the control plane supports. */
import { after, before, describe, type SuiteContext } from 'node:test';
import type { ControlPlaneConfig } from '../src/index.ts';
import { Platform } from './_platform.ts';
import { postgresMissing, TestPostgres } from './_postgres.ts';

export type StartPlatform = (config?: Partial<ControlPlaneConfig>) => Promise<Platform>;

/** `tests` gets a function that starts a control plane on a database of its own. */
export function onEveryDatabase(name: string, tests: (start: StartPlatform) => void): void {
  onEach(name, (newPostgresUrl) => {
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
  onEach(name, (newPostgresUrl) => {
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
  tests: (newPostgresUrl: () => Promise<string | undefined>) => void,
): void {
  describe(`${name}, on PGlite`, () => {
    tests(async () => await Promise.resolve(undefined));
  });
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
