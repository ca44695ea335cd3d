/** The run that a command is about, and the platform of the data directory that knows it. */
import type { Run } from '@onejob/protocol';
import type { ApiClient } from '../api-client.ts';
import { checkoutRepository } from '../checkout/repository-name.ts';
import { findDirectories } from '../config/environment.ts';
import { openPlatform, type Platform } from '../embedded/platform.ts';
import { CliError } from '../errors.ts';
import type { ExitCode } from '../exit-codes.ts';
import { openAndAsk } from './open-and-ask.ts';

/**
 * A platform to ask: the running one, or this data directory opened for the question. What `find`
 * asks is asked again where an owner that was joined ends meanwhile; `use` happens once.
 */
export async function withPlatform<T>(
  dataDirectory: string | undefined,
  find: (api: ApiClient) => Promise<T>,
  use: (found: T, platform: Platform) => ExitCode | Promise<ExitCode>,
): Promise<ExitCode> {
  const { platform: opened, answer } = await openAndAsk(
    async () =>
      await openPlatform({
        directories: findDirectories(dataDirectory),
        driver: 'process',
        image: undefined,
        withAgent: false,
        imageWatcher: { show: () => {}, end: () => {} },
        warn: (message) => void process.stderr.write(`onejob: ${message}\n`),
      }),
    async ({ api }) => await find(api),
  );
  await using platform = opened;
  return await use(answer, platform);
}

/** `latest`, a number, `owner/name#number`, or an id. In a checkout its own runs come first. */
export async function findRun(api: ApiClient, name: string): Promise<Run> {
  const [, repository, number] = /^([^#]+)#(\d+)$/.exec(name) ?? [];
  if (repository !== undefined && number !== undefined) return await api.run(number, repository);
  const here = await checkoutRepository(process.cwd());
  if (name !== 'latest') return await findByNumber(api, name, here);
  const own = here === undefined ? [] : await api.runs(1, here);
  const [run] = own.length > 0 ? own : await api.runs(1);
  if (run === undefined) {
    throw new CliError('not_found', 'There are no runs yet. Start one with: onejob run');
  }
  return run;
}

async function findByNumber(api: ApiClient, name: string, here: string | undefined): Promise<Run> {
  const isNumber = /^\d+$/.test(name);
  try {
    return await api.run(name, isNumber ? here : undefined);
  } catch (error) {
    if (!(error instanceof CliError)) throw error;
    if (error.code === 'not_found' && isNumber && here !== undefined) {
      return await findByNumber(api, name, undefined);
    }
    const message =
      error.code === 'ambiguous_run'
        ? `Several repositories have a run ${name}. Name one as owner/name#${name}; see: onejob list`
        : `There is no run "${name}". See what there is: onejob list`;
    const isOurs = error.code === 'ambiguous_run' || error.code === 'not_found';
    throw isOurs ? new CliError('not_found', message) : error;
  }
}
