/**
 * The whole system in one process, over its real interfaces: a control plane on a data directory
 * of its own, an agent beside it, and the public API's client to ask both.
 */
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { startAgent, type Agent, type AgentConfig } from '@onejob/agent';
import { ApiClient } from '@onejob/cli/api-client';
import { takeSnapshot } from '@onejob/cli/checkout';
import {
  startControlPlane,
  type ControlPlane,
  type ControlPlaneConfig,
} from '@onejob/control-plane';
import { bundleGuestRunner, ensureImage } from '@onejob/image';
import type { CreateRun, LogRow, Run } from '@onejob/protocol';
import { makeCheckout } from './checkout.ts';
import { giveBackDataDirectory, makeDataDirectory } from './empty-data-directory.ts';
import type { AgentProcessConfig } from './spawn-agent.ts';

/** Shared by all tests and kept between them: images, bundles, results of probes. */
export const TEST_CACHE = join(homedir(), '.cache', 'onejob');

export type ConstellationOptions = {
  driver?: 'process' | 'qemu' | 'gvisor' | 'docker';
  controlPlane?: Partial<ControlPlaneConfig>;
  /** False: the test brings an agent of its own. */
  agent?: Partial<AgentConfig> | false;
};

export type EndedRun = {
  run: Run;
  /** Log rows of each job, by job name. */
  logs: Record<string, LogRow[]>;
};

export type Constellation = AsyncDisposable & {
  readonly directory: string;
  /** Where the agent keeps sandboxes and journals. */
  readonly agentDirectory: string;
  readonly controlPlane: ControlPlane;
  readonly agent: Agent | undefined;
  readonly api: ApiClient;
  agentConfig(): Promise<AgentConfig>;
  /** The same for an agent in a process of its own, which never dies by itself. */
  agentProcessConfig(): Promise<AgentProcessConfig>;
  /** Stops the control plane, does the work, and starts it again on the same data. */
  withControlPlaneDown(work: () => Promise<void>): Promise<void>;
  /** Starts runs for a repository with these files; a `workflow` is put in its usual place. */
  start(request: RunRequest): Promise<Run>;
  /** Waits for the end of the run and reads all logs. */
  ended(run: Run): Promise<EndedRun>;
  run(request: RunRequest): Promise<EndedRun>;
};

export type RunRequest = Partial<Omit<CreateRun, 'sha'>> & {
  workflow: string;
  files?: Record<string, string>;
};

/** Without a machine of its own a job shares `/tmp`, where npm and others have Node keep compiled code. */
export const NOTHING_KEPT = { NODE_DISABLE_COMPILE_CACHE: '1' };

const WORKFLOW_FILE = '.github/workflows/test.yml';

export async function startConstellation(
  options: ConstellationOptions = {},
): Promise<Constellation> {
  await using undo = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), 'onejob-test-'));
  undo.defer(async () => await rm(directory, { recursive: true, force: true }));
  const dataDirectory = join(directory, 'data');
  const driver = options.driver ?? 'process';
  const startPlane = async (): Promise<ControlPlane> =>
    await startControlPlane({
      dataDirectory,
      database: { kind: 'pglite' },
      ...options.controlPlane,
    });
  await makeDataDirectory(dataDirectory);
  undo.defer(() => giveBackDataDirectory(dataDirectory));
  let controlPlane = await startPlane();
  undo.defer(async () => await controlPlane[Symbol.asyncDispose]());
  const agentDirectory = join(directory, 'agent');
  const agentConfig = async (): Promise<AgentConfig> => ({
    stateDirectory: agentDirectory,
    cacheDirectory: TEST_CACHE,
    controlPlaneSocketPath: controlPlane.agentSocketPath,
    guestRunnerPath: (await bundleGuestRunner({ cacheDir: TEST_CACHE })).path,
    image: async () => await ensureImage({ cacheDir: TEST_CACHE }),
    drivers: [driver],
    // Tests hand files to their jobs through the host's /tmp, which another user would not see.
    process: { trustedTenants: 'all', user: 'agent' },
    ...(options.agent === false ? {} : options.agent),
  });
  const agent =
    options.agent === false ? undefined : undo.use(await startAgent(await agentConfig()));
  const api = new ApiClient(controlPlane.apiSocketPath, controlPlane.apiToken);

  const start = async (request: RunRequest): Promise<Run> =>
    await startRun(api, { driver, ...request });
  const ended = async (run: Run): Promise<EndedRun> => await readEnded(api, run);
  const owned = undo.move();
  return {
    directory,
    agentDirectory,
    agent,
    api,
    get controlPlane() {
      return controlPlane;
    },
    agentConfig,
    agentProcessConfig: async () => {
      const { image, onJournalLine: _, warn: __, ...config } = await agentConfig();
      return { ...config, image: driver === 'process' ? null : await image(''), dieAtLine: 0 };
    },
    withControlPlaneDown: async (work) => {
      await controlPlane[Symbol.asyncDispose]();
      try {
        await work();
      } finally {
        controlPlane = await startPlane();
      }
    },
    start,
    ended,
    run: async (request) => await ended(await start(request)),
    [Symbol.asyncDispose]: async () => await owned.disposeAsync(),
  };
}

async function startRun(
  api: ApiClient,
  { workflow, files = {}, ...request }: RunRequest,
): Promise<Run> {
  await using checkout = makeCheckout({ ...files, [WORKFLOW_FILE]: workflow });
  await using snapshot = await takeSnapshot(checkout.directory);
  const repository = request.repository ?? 'local/test';
  const pack = await snapshot.pack(await api.tips(repository));
  await api.sendSnapshot(repository, snapshot.sha, pack);
  const { runs, notTriggered } = await api.createRuns({
    sha: snapshot.sha,
    ref: snapshot.ref,
    workflows: [WORKFLOW_FILE],
    event: { name: 'push', payload: { ref: snapshot.ref } },
    actor: 'test',
    secrets: {},
    vars: {},
    env: NOTHING_KEPT,
    inputs: {},
    jobs: [],
    matrix: {},
    driver: 'auto',
    keepSandbox: false,
    ...request,
    repository,
  });
  const [run] = runs;
  if (run === undefined) throw new Error(`no run: ${JSON.stringify(notTriggered)}`);
  return run;
}

async function readEnded(api: ApiClient, started: Run): Promise<EndedRun> {
  const forever = new AbortController();
  for await (const _ of api.events(started.id, forever.signal)) {
    // The stream ends with the run.
  }
  const run = await api.run(started.id);
  const logs: Record<string, LogRow[]> = {};
  for (const job of run.jobs) {
    const rows: LogRow[] = [];
    for (;;) {
      const page = await api.log(job.id, rows.length);
      if (page.rows.length === 0) break;
      rows.push(...page.rows);
    }
    logs[job.name] = rows;
  }
  return { run, logs };
}
