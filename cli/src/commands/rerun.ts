/**
 * `onejob rerun`: the next attempt of a run that is stored, shown as `onejob run` shows one. Of jobs
 * that are not run again the result is shown, and their logs are not.
 */
import type { Rerun, Run } from '@onejob/protocol';
import { userName } from '../checkout/user-name.ts';
import type { Platform } from '../embedded/platform.ts';
import { CliError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { exitCodeOf } from '../show/summary.ts';
import { findRun, withPlatform } from './find-run.ts';
import { followRuns } from './follow-runs.ts';
import { Interrupts } from './interrupt.ts';
import {
  chooseView,
  isLive,
  makeReady,
  openForRun,
  sendOnce,
  toStderr,
  waitForOthers,
} from './launch.ts';
import { openAndAsk } from './open-and-ask.ts';
import { readSecrets } from './run-options.ts';

export type RerunFlags = {
  failed: boolean;
  job: string[];
  secret: string[];
  secretFile?: string;
  debug: boolean;
  json: boolean;
};

export async function rerun(
  runName: string,
  flags: RerunFlags,
  dataDirectory: string | undefined,
): Promise<ExitCode> {
  if (flags.failed && flags.job.length > 0) {
    throw new CliError('usage', '--failed and --job exclude each other: leave one of them out.');
  }
  using interrupts = new Interrupts();
  const secrets = await readSecrets(flags, interrupts.signal);
  const { id, driver, actor } = await lookUp(runName, dataDirectory);
  const body: Rerun = {
    failed: flags.failed,
    jobs: flags.job,
    // Outside of a checkout, and without git, there may be no name.
    actor: (await userName(process.cwd()).catch(() => undefined)) ?? actor,
    secrets,
    debug: flags.debug,
  };
  let write = toStderr;
  const open = async (): Promise<Platform> =>
    await openForRun({ driver, withAgent: true }, dataDirectory, interrupts.signal, (line) =>
      write(line),
    );
  const { platform: opened, answer: run } = await openAndAsk(open, async (owner) => {
    await makeReady(owner, driver, interrupts);
    interrupts.signal.throwIfAborted();
    return await sendOnce(async () => await owner.api.rerun(id, body));
  });
  await using platform = opened;

  const { api, joined, broken } = platform;
  const view = chooseView(flags.json);
  if (isLive(flags.json)) write = (line) => view.say(line);
  if (joined) view.say('Joined the onejob that owns this data directory.');
  view.begin([run]);
  for (const warning of run.warnings) view.warn(warning);
  const known = new Set(run.jobs.filter((job) => job.attempt < run.attempt).map((job) => job.id));
  const ended = await followRuns({ api, view, interrupts, broken, known }, [run]).finally(
    () => (write = toStderr),
  );
  view.finish(ended);
  if (!joined) await waitForOthers(platform, interrupts);
  return exitCodeOf(ended);
}

/** The run's driver says what platform is needed: known before one is opened to run something. */
async function lookUp(runName: string, dataDirectory: string | undefined): Promise<Run> {
  const { promise, resolve } = Promise.withResolvers<Run>();
  await withPlatform(
    dataDirectory,
    async (api) => await findRun(api, runName),
    (run) => {
      resolve(run);
      return EXIT.success;
    },
  );
  return await promise;
}
