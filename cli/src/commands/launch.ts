/**
 * The parts of `onejob run` that start runs and show them: a platform to run on, the snapshot and the
 * request it is sent, the view, and the owner's wait for other terminals at the end.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { CreatedRuns, CreateRun, Run } from '@onejob/protocol';
import type { ApiClient } from '../api-client.ts';
import { eventPayload, eventRef } from '../checkout/event-payload.ts';
import type { Snapshot } from '../checkout/snapshot.ts';
import { findWorkflows } from '../checkout/workflow-paths.ts';
import { findDirectories, terminalStyle } from '../config/environment.ts';
import { openPlatform, type Platform } from '../embedded/platform.ts';
import { CliError } from '../errors.ts';
import { buildProgress } from '../show/build-progress.ts';
import { jsonView } from '../show/json-view.ts';
import { plainView } from '../show/plain-view.ts';
import type { RunView } from '../show/run-view.ts';
import { treeView } from '../show/tree-view.ts';
import type { Interrupts } from './interrupt.ts';
import type { RunFlags, RunOptions } from './run-options.ts';

/** How often an owner looks whether other terminals' runs have ended. */
const OTHERS_POLL_MS = 500;
/** Workflows named where none runs: a screen of reasons. */
const NAMED_WORKFLOWS = 8;

export async function openForRun(
  flags: Pick<RunFlags, 'driver' | 'image' | 'network'> & { withAgent: boolean },
  dataDirectory: string | undefined,
  signal: AbortSignal,
  write: (line: string) => void,
): Promise<Platform> {
  // With the process driver an image is built only for somebody who joins, while jobs are shown.
  const isAlone = flags.driver !== 'process' && terminalStyle(process.stderr).live;
  return await openPlatform({
    directories: findDirectories(dataDirectory),
    driver: flags.driver,
    image: flags.image,
    network: flags.network,
    withAgent: flags.withAgent,
    imageWatcher: buildProgress(isAlone ? process.stderr : undefined, write),
    warn: (message) => write(`onejob: ${message}`),
    signal,
  });
}

/** Everything that jobs of this command need before they are stored. */
export async function makeReady(
  platform: Platform,
  driver: string,
  interrupts: Interrupts,
): Promise<void> {
  await refuseMissingDriver(platform, driver);
  warnOfUnfinished(platform.leftRuns);
  try {
    await platform.image;
  } catch (error) {
    // Jobs of terminals that joined may do without.
    if (!interrupts.signal.aborted) await waitForOthers(platform, interrupts);
    throw error;
  }
}

export const toStderr = (line: string): void => void process.stderr.write(`${line}\n`);
const warn = (message: string): void => toStderr(`onejob: ${message}`);

/** Runs outlive the process that owned them: what of them had not begun begins now. */
function warnOfUnfinished(activeRuns: number): void {
  if (activeRuns === 0) return;
  const runs = activeRuns === 1 ? '1 run goes' : `${activeRuns} runs go`;
  warn(`${runs} on that a killed onejob left unfinished. Which: onejob list. Stop: onejob cancel.`);
}

/** Once at most: what may have been stored already is not sent again. */
export async function sendOnce<T>(send: () => Promise<T>): Promise<T> {
  return await send().catch((error: unknown) => {
    const { code } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException;
    if (code === undefined || code === 'ECONNREFUSED' || code === 'ENOENT') throw error;
    throw new CliError(
      'platform_error',
      'The onejob that owns the data directory ended while it took this run. Whether it has it: ' +
        'onejob list. If not, start again.',
      { cause: error },
    );
  });
}

export function sayCreated(
  { runs, notTriggered }: CreatedRuns,
  event: string,
  view: RunView,
  { dirty, joined }: { dirty: boolean; joined: boolean },
): Run[] {
  if (dirty) view.say('The snapshot includes uncommitted changes.');
  if (joined) view.say('Joined the onejob that owns this data directory.');
  const idle = notTriggered.map(({ workflow, why }) => `${workflow} does not run: ${why}`);
  if (runs.length > 0) {
    for (const line of idle) view.say(line);
    return runs;
  }
  view.close();
  const more = idle.length > NAMED_WORKFLOWS ? [`and ${idle.length - NAMED_WORKFLOWS} more`] : [];
  const lines = [...idle.slice(0, NAMED_WORKFLOWS), ...more].map((line) => `\n  ${line}`);
  throw new CliError(
    'nothing_to_run',
    `No workflow runs on "${event}".${lines.join('')}\n` +
      'Name another event with --event; what there is: onejob run --list',
  );
}

export async function sendSnapshot(api: ApiClient, snapshot: Snapshot): Promise<void> {
  const tips = await api.tips(snapshot.repository);
  if (tips.includes(snapshot.sha)) return;
  const pack = await snapshot.pack(tips);
  await api.sendSnapshot(snapshot.repository, snapshot.sha, pack);
}

/**
 * Says at once what would otherwise be a refused job. An agent that was joined and has not announced
 * itself yet is not judged: the platform refuses what it cannot take.
 */
async function refuseMissingDriver(platform: Platform, driver: string): Promise<void> {
  const drivers = await knownDrivers(platform);
  const fits = drivers.some(
    (one) => one.works && (driver === 'auto' ? one.name !== 'process' : one.name === driver),
  );
  if (fits || drivers.length === 0) return;
  const notes = drivers.map((one) => `${one.name}: ${one.note}`).join('\n  ');
  const without = drivers.some((one) => one.name === 'process' && one.works)
    ? ' Trusted jobs can run without isolation: --driver process'
    : '';
  throw new CliError(
    'driver_unavailable',
    `No machine can be made with --driver ${driver} on this host:\n  ${notes}\n` +
      `See what is missing: onejob doctor.${without}`,
  );
}

async function knownDrivers({ api, agent }: Platform) {
  if (agent !== undefined) {
    return agent.drivers.map(({ driver, probe }) => ({ name: driver.name, ...probe }));
  }
  return (await api.hosts()).filter((host) => host.online).flatMap((host) => host.drivers);
}

export async function requestBody(
  flags: RunFlags,
  options: RunOptions,
  snapshot: Snapshot,
): Promise<CreateRun> {
  const payload = eventPayload(options.event.name, snapshot, options.inputs, options.event.payload);
  return {
    repository: snapshot.repository,
    sha: snapshot.sha,
    ref: eventRef(options.event.name, snapshot, payload),
    workflows: await findWorkflows(snapshot.root, options.workflows),
    event: { name: options.event.name, payload },
    actor: snapshot.actor,
    secrets: options.secrets,
    vars: options.vars,
    env: options.env,
    inputs: options.inputs,
    jobs: options.jobs,
    matrix: options.matrix,
    driver: flags.driver,
    keepSandbox: flags.keep,
  };
}

export function chooseView(json: boolean): RunView {
  const write = (line: string): void => void process.stdout.write(`${line}\n`);
  if (json) return jsonView(write);
  const { color } = terminalStyle(process.stdout);
  return isLive(json) ? treeView(process.stdout, color) : plainView(write);
}

/** Is the terminal redrawn, so that a line of anybody else would be drawn over? */
export const isLive = (json: boolean): boolean => !json && terminalStyle(process.stdout).live;

/** This process owns the platform; runs of terminals that joined it need it until they end. */
export async function waitForOthers(platform: Platform, interrupts: Interrupts): Promise<void> {
  let told = false;
  const stop = new AbortController();
  using _ = interrupts.during(() => stop.abort());
  while (!stop.signal.aborted) {
    platform.broken?.throwIfAborted();
    if (await platform.closeIfIdle()) return;
    if (!told) warn('Another run still uses this platform; waiting for it. Ctrl-C ends it.');
    told = true;
    await sleep(OTHERS_POLL_MS, undefined, { signal: stop.signal }).catch(() => {});
  }
}
