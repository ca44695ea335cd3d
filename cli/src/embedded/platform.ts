/**
 * The embedded mode: control plane and agent in this process, over the same interfaces as on many
 * machines (the REST API and the agent protocol, each on its Unix socket). This room is the only
 * one of the command line that touches server code.
 *
 * One process owns a data directory. A second `onejob` joins through the owner's socket.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  AgentError,
  probeDrivers,
  startAgent,
  type Agent,
  type AgentConfig,
  type DriverName,
  type MachineImage,
  type ReapReport,
} from '@onejob/agent';
import { ControlPlaneError, startControlPlane, type ControlPlane } from '@onejob/control-plane';
import { bundleGuestRunner } from '@onejob/image';
import { ApiClient } from '../api-client.ts';
import type { Directories } from '../config/environment.ts';
import { CliError } from '../errors.ts';
import { ImageStore, type ImageProgress } from './images.ts';

/** An owner that starts or stops holds the directory without answering; longer than this it hangs. */
const OWNER_PATIENCE_MS = 30_000;
const OWNER_RETRY_MS = 100;

export type PlatformOptions = {
  directories: Directories;
  /** `auto`, `qemu`, `process`: decides whether an image is needed at once. */
  driver: string;
  /** Name or digest of a stored image; undefined: onejob's own, built when missing. */
  image: string | undefined;
  /** Start an agent, too: false where nothing is run. */
  withAgent: boolean;
  listen?: { host: string; port: number };
  onProgress: (progress: ImageProgress) => void;
  warn: (message: string) => void;
  /** Ends the start: what was started until then is stopped. */
  signal?: AbortSignal;
};

export type Platform = AsyncDisposable & {
  readonly api: ApiClient;
  /** Did this process start it, or does another one own the data directory? */
  readonly joined: boolean;
  readonly agent: Agent | undefined;
  readonly url: string | undefined;
};

export async function openPlatform(options: PlatformOptions): Promise<Platform> {
  await using undo = new AsyncDisposableStack();
  const controlPlane = await startOrJoin(options);
  if ('joined' in controlPlane) {
    return {
      ...controlPlane,
      agent: undefined,
      url: undefined,
      [Symbol.asyncDispose]: async () => {},
    };
  }
  undo.use(controlPlane);
  options.signal?.throwIfAborted();
  const agent = options.withAgent
    ? undo.use(await startAgent(await agentConfig(options, controlPlane.agentSocketPath)))
    : undefined;
  options.signal?.throwIfAborted();
  const owned = undo.move();
  return {
    api: new ApiClient(controlPlane.apiSocketPath, controlPlane.apiToken),
    joined: false,
    agent,
    url: controlPlane.apiUrl,
    [Symbol.asyncDispose]: async () => await owned.disposeAsync(),
  };
}

async function startOrJoin(
  options: PlatformOptions,
): Promise<ControlPlane | { api: ApiClient; joined: true }> {
  const deadlineMs = performance.now() + OWNER_PATIENCE_MS;
  for (;;) {
    const found = (await tryStart(options)) ?? (await tryJoin(options, deadlineMs));
    if (found !== undefined) return found;
    await sleep(OWNER_RETRY_MS);
    options.signal?.throwIfAborted();
  }
}

/** Undefined: another process owns the data directory. */
async function tryStart({
  directories,
  listen,
}: PlatformOptions): Promise<ControlPlane | undefined> {
  try {
    return await startControlPlane({
      dataDirectory: directories.data,
      database: { kind: 'pglite' },
      ...(listen === undefined ? {} : { listen }),
    });
  } catch (error) {
    if (isOwnedByAnother(error)) return undefined;
    throw error;
  }
}

const isOwnedByAnother = (error: unknown): boolean =>
  error instanceof ControlPlaneError && error.code === 'data_directory_in_use';

/** Undefined: the owner does not answer yet, or no longer. */
async function tryJoin(
  { directories: { data }, image }: PlatformOptions,
  deadlineMs: number,
): Promise<{ api: ApiClient; joined: true } | undefined> {
  try {
    const api = ApiClient.ofDataDirectory(join(data, 'api.sock'), join(data, 'api.token'));
    await api.health();
    if (image === undefined) return { api, joined: true };
  } catch (error) {
    if (performance.now() < deadlineMs) return undefined;
    throw error;
  }
  throw new CliError(
    'usage',
    `--image has no effect: another onejob owns ${data} and chose its image at its start. ` +
      'Stop it, or use a --data-dir of your own.',
  );
}

/** The agent's configuration for this data directory. An image is built when first needed. */
async function agentConfig(
  options: PlatformOptions,
  controlPlaneSocketPath: string,
): Promise<AgentConfig> {
  const { directories, onProgress, warn, signal } = options;
  let image: Promise<MachineImage> | undefined;
  const images = new ImageStore(directories.cache, signal);
  const resolveImage = (): Promise<MachineImage> =>
    (image ??=
      options.image === undefined ? images.build(false, onProgress) : images.find(options.image));
  const config: AgentConfig = {
    stateDirectory: join(directories.data, 'agent'),
    cacheDirectory: directories.cache,
    controlPlaneSocketPath,
    guestRunnerPath: (await bundleGuestRunner({ cacheDir: directories.cache })).path,
    image: resolveImage,
    warn,
  };
  if (options.image !== undefined) await resolveImage();
  if (options.driver !== 'process' && (await worksHere(config, 'qemu'))) await resolveImage();
  return config;
}

async function worksHere(config: AgentConfig, name: DriverName): Promise<boolean> {
  const [found] = await probeDrivers({ ...config, drivers: [name] });
  return found?.probe.works ?? false;
}

/** Drivers as tried on this host, without a platform: for `doctor`. */
export async function tryDrivers(directories: Directories) {
  return await probeDrivers(offlineConfig(directories));
}

/**
 * Buries what a killed agent of this data directory left behind, and lets its control plane know
 * what became of the jobs. A platform that runs does this itself at its start: then it is refused.
 */
export async function reapLeftovers(directories: Directories): Promise<ReapReport> {
  await using controlPlane = await startControlPlane({
    dataDirectory: directories.data,
    database: { kind: 'pglite' },
  }).catch((error: unknown) => {
    if (!isOwnedByAnother(error)) throw error;
    throw new CliError(
      'directory_in_use',
      `A onejob is running on ${directories.data}. It reaped when it started and buries what it ` +
        'runs; stop it first, if you want to see that nothing is left.',
    );
  });
  const controlPlaneSocketPath = controlPlane.agentSocketPath;
  await using agent = await startAgent({
    ...offlineConfig(directories),
    controlPlaneSocketPath,
    slots: 0,
  });
  const report = { ...agent.reaped };
  await agent.announced;
  return report;
}

function offlineConfig(directories: Directories): AgentConfig {
  return {
    stateDirectory: join(directories.data, 'agent'),
    cacheDirectory: directories.cache,
    controlPlaneSocketPath: '',
    guestRunnerPath: '',
    image: async () =>
      await Promise.reject(new AgentError('image_missing', 'No image outside of a platform.')),
  };
}
