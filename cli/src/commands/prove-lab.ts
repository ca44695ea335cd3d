/**
 * Runs the jobs of a proof: a platform of its own in a scratch directory, a repository for each job,
 * and the public API, as `onejob run` does it.
 */
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Job, NetworkMode, Run } from '@onejob/protocol';
import {
  WORKFLOW_FILE,
  type ContainerEngine,
  type EndedProbeJob,
  type JobWatcher,
  type Lab,
  type ProbeJob,
} from '@onejob/prove';
import type { ApiClient } from '../api-client.ts';
import { git } from '../checkout/git.ts';
import { takeSnapshot } from '../checkout/snapshot.ts';
import { openPlatform } from '../embedded/platform.ts';
import { CliError } from '../errors.ts';

const REPOSITORY = 'local/prove';

/** What the driver process is in a proof: nothing between a job and the host, not even another user. */
export const NOTHING_HELD = { trustedTenants: 'all', user: 'agent' } as const;

export type ProofLab = AsyncDisposable & Lab;

/** @param work a directory of the proof's own, with a short path: sockets are in it */
export async function openLab(options: {
  work: string;
  cache: string;
  driver: string;
  network: NetworkMode;
  /** Digest of the one image that all its machines have; undefined: they need none. */
  image: string | undefined;
  engine: ContainerEngine | undefined;
  /** Its machines have a device that obeys: a control. */
  obeyingDevice?: boolean;
  say: (line: string) => void;
  signal: AbortSignal;
}): Promise<ProofLab> {
  const { work, cache, driver, network, image, engine, obeyingDevice = false } = options;
  const { say, signal } = options;
  const data = join(work, 'data');
  const platform = await openPlatform({
    directories: { data, cache },
    ...{ driver, network, image, engineSocket: engine?.socketPath, obeyingDevice },
    processSettings: NOTHING_HELD,
    withAgent: true,
    imageWatcher: { show: () => {}, end: () => {} },
    warn: (message) => say(`onejob: ${message}`),
    signal,
  });
  let count = 0;
  return {
    dataDirectory: data,
    cacheDirectory: cache,
    engineDirectory: engine?.directory,
    run: async (job, watcher = {}) => {
      count += 1;
      const checkout = join(work, `checkout-${count}`);
      const run = await startJob(platform.api, checkout, job);
      return await followJob(platform.api, run, watcher, signal);
    },
    [Symbol.asyncDispose]: async () => await platform[Symbol.asyncDispose](),
  };
}

async function startJob(api: ApiClient, checkout: string, job: ProbeJob): Promise<Run> {
  await makeCheckout(checkout, job.files);
  await using snapshot = await takeSnapshot(checkout);
  const pack = await snapshot.pack(await api.tips(REPOSITORY));
  await api.sendSnapshot(REPOSITORY, snapshot.sha, pack);
  const { runs } = await api.createRuns({
    repository: REPOSITORY,
    sha: snapshot.sha,
    ref: snapshot.ref,
    workflows: [WORKFLOW_FILE],
    event: { name: 'push', payload: { ref: snapshot.ref } },
    actor: 'prove',
    secrets: { ...job.secrets },
    vars: { ...job.vars },
    env: {},
    inputs: {},
    jobs: [],
    matrix: {},
    driver: job.driver,
    keepSandbox: false,
  });
  await rm(checkout, { recursive: true });
  const [run] = runs;
  if (run !== undefined) return run;
  throw new CliError('platform_error', 'The workflow of the proof was not taken.');
}

async function makeCheckout(
  directory: string,
  files: Readonly<Record<string, string>>,
): Promise<void> {
  for (const [path, content] of Object.entries(files)) {
    await mkdir(dirname(join(directory, path)), { recursive: true });
    await writeFile(join(directory, path), content);
  }
  const place = { directory };
  await git(['init', '--quiet', '--initial-branch=main'], place);
  await git(['add', '--all'], place);
  const author = ['-c', 'user.name=prove', '-c', 'user.email=prove@localhost'];
  await git([...author, 'commit', '--quiet', '--message=prove'], place);
}

/** Waits for the end of the run's one job, and tells its watcher of it. */
async function followJob(
  api: ApiClient,
  run: Run,
  { running, line: tell, stop }: JobWatcher,
  signal: AbortSignal,
): Promise<EndedProbeJob> {
  const over = new AbortController();
  let watching: Promise<void> | undefined;
  const lines: string[] = [];
  const cancel = (): void => void api.cancelRun(run.id, true).catch(() => {});
  stop?.addEventListener('abort', cancel, { once: true });
  if (stop?.aborted === true) cancel();
  try {
    for await (const event of api.events(run.id, signal)) {
      if (event.type === 'log') {
        for (const { text } of event.rows) {
          lines.push(text);
          tell?.(text);
        }
      }
      const job = event.type === 'job' ? event.job : undefined;
      if (job?.state === 'running') watching ??= running?.(job.sandboxId, over.signal);
    }
  } finally {
    stop?.removeEventListener('abort', cancel);
    over.abort();
    await watching;
  }
  signal.throwIfAborted();
  const [job] = (await api.run(run.id)).jobs;
  if (job === undefined) throw new CliError('platform_error', 'The job of the proof is gone.');
  return {
    sandboxId: job.sandboxId,
    driver: job.driver,
    driverNote: job.driverNote,
    lines,
    ended: describeEnd(job),
  };
}

const describeEnd = ({ conclusion, endReason, endMessage }: Job): string =>
  [conclusion, endReason, endMessage].filter((part) => part !== null && part !== '').join(': ');
