/** `onejob run`: the checkout's workflows, each job in a machine of its own. */
import { setTimeout as sleep } from 'node:timers/promises';
import type { CreateRun, Health, Plan, Run } from '@onejob/protocol';
import type { ApiClient } from '../api-client.ts';
import { eventPayload } from '../checkout/event-payload.ts';
import { takeSnapshot, type Snapshot } from '../checkout/snapshot.ts';
import { findWorkflows } from '../checkout/workflow-paths.ts';
import { findDirectories, terminalStyle } from '../config/environment.ts';
import { openPlatform, type Platform } from '../embedded/platform.ts';
import { CliError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { buildProgress } from '../show/build-progress.ts';
import { jsonView } from '../show/json-view.ts';
import { plainView } from '../show/plain-view.ts';
import { showPlan } from '../show/plan.ts';
import type { RunView } from '../show/run-view.ts';
import { painter } from '../show/style.ts';
import { exitCodeOf } from '../show/summary.ts';
import { treeView } from '../show/tree-view.ts';
import { followRuns } from './follow-runs.ts';
import { Interrupts } from './interrupt.ts';
import { readRunOptions, type RunFlags, type RunOptions } from './run-options.ts';

/** How often an owner looks whether other terminals' runs have ended. */
const OTHERS_POLL_MS = 500;
/** An agent of this process announces itself within milliseconds; under load, seconds. */
const ANNOUNCE_PATIENCE_MS = 10_000;
const HOSTS_POLL_MS = 20;

export async function run(flags: RunFlags, dataDirectory: string | undefined): Promise<ExitCode> {
  using interrupts = new Interrupts();
  const options = await readRunOptions(flags, interrupts.signal);
  await using snapshot = await takeSnapshot(process.cwd());
  interrupts.signal.throwIfAborted();
  const body = await requestBody(flags, options, snapshot);
  const planOnly = flags.list || flags.dryRun;
  await using platform = await openForRun(flags, dataDirectory, interrupts.signal);
  const { api, joined } = platform;
  if (!planOnly) await refuseMissingDriver(api, flags.driver);
  if (!planOnly && !joined) warnOfUnfinished(await api.health());
  await sendSnapshot(api, snapshot);
  // The platform has it: of a command that is killed later, nothing is left in the checkout's name.
  await snapshot[Symbol.asyncDispose]();
  if (planOnly) return printPlan(flags, await api.plan(body));
  interrupts.signal.throwIfAborted();

  const view = chooseView(flags.json);
  const runs = await createRuns(api, body, view, { dirty: !snapshot.clean, joined });
  view.begin(runs);
  const following = { api, view, interrupts, closedFleet: !joined };
  const ended = await followRuns(following, runs);
  view.finish(ended.runs);
  if (!joined) await waitForOthers(api, interrupts);
  return exitCodeOf(ended.runs, ended.unplaceable);
}

async function openForRun(
  flags: RunFlags,
  dataDirectory: string | undefined,
  signal: AbortSignal,
): Promise<Platform> {
  const progress = buildProgress(process.stderr);
  try {
    return await openPlatform({
      directories: findDirectories(dataDirectory),
      driver: flags.driver,
      image: flags.image,
      withAgent: !flags.list && !flags.dryRun,
      onProgress: progress.show,
      warn,
      signal,
    });
  } finally {
    progress.end();
  }
}

const warn = (message: string): void => void process.stderr.write(`onejob: ${message}\n`);

/** Runs outlive the process that owned them: what of them had not begun begins now. */
function warnOfUnfinished({ activeRuns }: Health): void {
  if (activeRuns === 0) return;
  const runs = activeRuns === 1 ? '1 run goes' : `${activeRuns} runs go`;
  warn(`${runs} on that a killed onejob left unfinished. Which: onejob list. Stop: onejob cancel.`);
}

async function createRuns(
  api: ApiClient,
  body: CreateRun,
  view: RunView,
  { dirty, joined }: { dirty: boolean; joined: boolean },
): Promise<Run[]> {
  const { runs, notTriggered } = await api.createRuns(body);
  if (dirty) view.say('The snapshot includes uncommitted changes.');
  if (joined) view.say('Joined the onejob that owns this data directory.');
  for (const { workflow, why } of notTriggered) view.say(`${workflow} does not run: ${why}`);
  if (runs.length > 0) return runs;
  view.close();
  throw new CliError(
    'nothing_to_run',
    `No workflow runs on "${body.event.name}". See what there is: onejob run --list`,
  );
}

async function sendSnapshot(api: ApiClient, snapshot: Snapshot): Promise<void> {
  const tips = await api.tips(snapshot.repository);
  if (tips.includes(snapshot.sha)) return;
  const pack = await snapshot.pack(tips);
  await api.sendSnapshot(snapshot.repository, snapshot.sha, snapshot.shallow, pack);
}

/** Says at once what would otherwise be a job that waits for ever. */
async function refuseMissingDriver(api: ApiClient, driver: string): Promise<void> {
  const hosts = await announcedHosts(api);
  const drivers = hosts.flatMap((host) => host.drivers);
  const fits = drivers.some(
    (one) => one.works && (driver === 'auto' ? one.ownKernel : one.name === driver),
  );
  if (fits) return;
  const notes = drivers.map((one) => `${one.name}: ${one.note}`).join('\n  ');
  throw new CliError(
    'driver_unavailable',
    `No machine can be made with --driver ${driver} on this host:\n  ${notes}\n` +
      'See what is missing: onejob doctor. Trusted jobs can run without isolation: --driver process',
  );
}

/** An agent announces itself a moment after it starts. */
async function announcedHosts(api: ApiClient) {
  const deadlineMs = performance.now() + ANNOUNCE_PATIENCE_MS;
  for (;;) {
    const hosts = (await api.hosts()).filter((host) => host.online);
    if (hosts.length > 0 || performance.now() > deadlineMs) return hosts;
    await sleep(HOSTS_POLL_MS);
  }
}

async function requestBody(
  flags: RunFlags,
  options: RunOptions,
  snapshot: Snapshot,
): Promise<CreateRun> {
  const payload = eventPayload(options.event.name, snapshot, options.inputs, options.event.payload);
  return {
    repository: snapshot.repository,
    sha: snapshot.sha,
    ref: typeof payload['ref'] === 'string' ? payload['ref'] : snapshot.ref,
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

function printPlan(flags: RunFlags, plan: Plan): ExitCode {
  const text = flags.json
    ? JSON.stringify(plan)
    : showPlan(plan, painter(terminalStyle(process.stdout).color), flags.dryRun);
  process.stdout.write(`${text}\n`);
  return EXIT.success;
}

function chooseView(json: boolean): RunView {
  const write = (line: string): void => void process.stdout.write(`${line}\n`);
  if (json) return jsonView(write);
  const { live, color } = terminalStyle(process.stdout);
  return live ? treeView(process.stdout, color) : plainView(write);
}

/** This process owns the platform; runs of terminals that joined it need it until they end. */
async function waitForOthers(api: ApiClient, interrupts: Interrupts): Promise<void> {
  let told = false;
  const stop = new AbortController();
  using _ = interrupts.during(() => stop.abort());
  while (!stop.signal.aborted) {
    if ((await api.health()).activeRuns === 0) return;
    if (!told) warn('Another run still uses this platform; waiting for it. Ctrl-C ends it.');
    told = true;
    await sleep(OTHERS_POLL_MS, undefined, { signal: stop.signal }).catch(() => {});
  }
}
