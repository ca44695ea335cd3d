/** Runs the same tests on every database the control plane supports. */
import { after, before, describe, type SuiteContext } from 'node:test';
import type { ControlPlaneConfig } from '../src/index.ts';
import { Platform } from './_platform.ts';
import { postgresMissing, TestPostgres } from './_postgres.ts';

export type StartPlatform = (config?: Partial<ControlPlaneConfig>) => Promise<Platform>;

/** `tests` gets a function that starts a control plane on a database of its own. */
export function onEveryDatabase(name: string, tests: (start: StartPlatform) => void): void {
  describe(`${name}, on PGlite`, () => {
    tests(async (config) => await Platform.start(config));
  });
  describe(`${name}, on Postgres`, { skip: postgresMissing }, (_context: SuiteContext) => {
    let server: TestPostgres | undefined;
    before(async () => {
      server = await TestPostgres.start();
    });
    after(async () => {
      await server?.[Symbol.asyncDispose]();
    });
    tests(async (config) => {
      if (server === undefined) throw new Error('Postgres did not start');
      const url = await server.createDatabase();
      return await Platform.start({ database: { kind: 'postgres', url }, ...config });
    });
  });
}
