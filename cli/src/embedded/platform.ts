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
  probeNetwork,
  readDockerSettings,
  readFirecrackerSettings,
  readEgressSettings,
  readProcessSettings,
  needsImage,
  reapOnce,
  startAgent,
  unpackImage,
  WorkflowRepositories,
  type Agent,
  type AgentConfig,
  type NetworkProbe,
  type ReapReport,
} from '@onejob/agent';
import {
  ControlPlaneError,
  startControlPlane,
  type ControlPlane,
  type TenantLimits,
} from '@onejob/control-plane';
import { bundleGuestRunner } from '@onejob/image';
import { explainError, type Fleet, type NetworkMode } from '@onejob/protocol';
import { ApiClient } from '../api-client.ts';
import { actionSettings, environmentValue, type Directories } from '../config/environment.ts';
import { CliError } from '../errors.ts';
import { ImageStore, type GuestImage, type ImageWatcher } from './images.ts';
import { makeCacheDirectory, makeDirectories } from './make-directory.ts';

/** An owner that starts or stops holds the directory without answering; longer than this it hangs. */
const OWNER_PATIENCE_MS = 30_000;
const OWNER_RETRY_MS = 100;

/** One person's machine is shared with nobody: only its slots bound what runs, and GitHub's time. */
const OWN_MACHINE: Partial<TenantLimits> = {
  concurrentJobs: null,
  jobsPerFiveMinutes: null,
  minutesPerJob: 360,
};

/** A command that only asks is done within this; longer, whoever waits for it is told. */
const READER_QUIET_MS = 2_000;

export type { ReapEntry } from '@onejob/agent';

export type PlatformOptions = {
  directories: Directories;
  /** `auto`, or the name of a driver: decides whether an image is needed at once. */
  driver: string;
  /** Name or digest of a stored image; undefined: onejob's own, built when missing. */
  image: string | undefined;
  /** Of a container engine in place of the one that the operator's settings name. */
  engineSocket?: string | undefined;
  /** What machines have of a network; undefined: onejob's default, `link`. */
  network?: NetworkMode | undefined;
  /** Machines that wait for jobs, at most; undefined: none. */
  pool?: number;
  /** Start an agent, too, or join a platform that has one: false where nothing is run. */
  withAgent: boolean;
  listen?: { host: string; port: number };
  imageWatcher: ImageWatcher;
  /** Things the user should know, a line each: of the agent, and faults of the control plane. */
  warn: (message: string) => void;
  /** Ends the start: what was started until then is stopped. */
  signal?: AbortSignal;
};

type Joined = { api: ApiClient; fleet: Fleet; joined: true };

export type Platform = AsyncDisposable & {
  readonly api: ApiClient;
  /** `none`: nothing runs here, nor will while it is open. */
  readonly fleet: Fleet;
  /** Did this process start it, or does another one own the data directory? */
  readonly joined: boolean;
  readonly agent: Agent | undefined;
  /** Of an owner whose jobs boot it: there, or being made. Rejects when it cannot be made. */
  readonly image: Promise<unknown> | undefined;
  readonly url: string | undefined;
  /** Runs of an earlier owner that go on in this one. */
  readonly leftRuns: number;
  /** Of an owner: aborted when nothing can be kept any more, with the error to end with. */
  readonly broken: AbortSignal | undefined;
  /** True: no run goes on, and none is taken any more. Only for owners. */
  closeIfIdle(): Promise<boolean>;
};

/**
 * The agent starts before an image is built: jobs that need none run meanwhile, in this and in other
 * terminals, and the others say what they wait for.
 */
export async function openPlatform(options: PlatformOptions): Promise<Platform> {
  await using undo = new AsyncDisposableStack();
  const elsewhere = undo.use(
    new WorkflowRepositories({
      directory: join(options.directories.data, 'agent', 'workflows'),
      ...actionSettings(),
    }),
  );
  const controlPlane = await startOrJoin(options, elsewhere);
  if ('joined' in controlPlane) {
    return {
      ...controlPlane,
      agent: undefined,
      image: undefined,
      url: undefined,
      leftRuns: 0,
      broken: undefined,
      closeIfIdle: async () => await Promise.resolve(false),
      [Symbol.asyncDispose]: async () => {},
    };
  }
  undo.use(controlPlane);
  options.signal?.throwIfAborted();
  const api = new ApiClient(controlPlane.apiSocketPath, controlPlane.apiToken);
  // Before anybody can have joined.
  const { activeRuns: leftRuns } = await api.health();
  const config = options.withAgent
    ? await agentConfig(options, controlPlane.agentSocketPath)
    : undefined;
  const agent = config === undefined ? undefined : undo.use(await startAgent(config));
  options.signal?.throwIfAborted();
  const isImageNeeded =
    config?.prepareImage === true && agent?.drivers.some(({ probe }) => needsImage(probe));
  const image = isImageNeeded === true ? config?.image('') : undefined;
  // Whoever does not ask for it learns of its failure from the jobs that needed it.
  image?.catch(() => {});
  const owned = undo.move();
  return {
    api,
    fleet: fleetOf(options),
    joined: false,
    agent,
    image,
    url: controlPlane.apiUrl,
    leftRuns,
    broken: controlPlane.broken,
    closeIfIdle: async () => await controlPlane.closeIfIdle(),
    [Symbol.asyncDispose]: async () => await owned.disposeAsync(),
  };
}

const fleetOf = ({ withAgent }: PlatformOptions): Fleet => (withAgent ? 'closed' : 'none');

async function startOrJoin(
  options: PlatformOptions,
  elsewhere: WorkflowRepositories,
): Promise<ControlPlane | Joined> {
  await makeDirectories(options.directories);
  const startedAtMs = performance.now();
  let told = false;
  for (;;) {
    const waitedMs = performance.now() - startedAtMs;
    const found = (await tryStart(options, elsewhere)) ?? (await tryJoin(options, waitedMs));
    if (found !== undefined && found !== 'reader') return found;
    if (found === 'reader' && waitedMs > READER_QUIET_MS && !told) {
      options.warn(`Waiting for another onejob command that reads ${options.directories.data}.`);
      told = true;
    }
    await sleep(OWNER_RETRY_MS);
    options.signal?.throwIfAborted();
  }
}

/** Undefined: another process owns the data directory. */
async function tryStart(
  options: PlatformOptions,
  elsewhere: WorkflowRepositories,
): Promise<ControlPlane | undefined> {
  const { directories, listen, warn } = options;
  try {
    return await startControlPlane({
      dataDirectory: directories.data,
      database: { kind: 'pglite' },
      fleet: fleetOf(options),
      tenantDefaults: OWN_MACHINE,
      // Whoever writes a workflow here may read every repository of this directory anyway.
      personal: true,
      elsewhere,
      log: eachOnce((message) => warn(onOneLine(message))),
      ...(listen === undefined ? {} : { listen }),
    });
  } catch (error) {
    if (isOwnedByAnother(error)) return undefined;
    throw (listen && refusedAddress(error, listen)) ?? error;
  }
}

const UNUSABLE_ADDRESSES: Readonly<Record<string, string>> = {
  EADDRNOTAVAIL: 'this host does not have that address',
  ENOTFOUND: 'no address has that name',
  EAI_AGAIN: 'that name cannot be looked up now',
  EACCES: 'you may not listen on that port; take one above 1023',
};

/** An address nobody can listen on is a wrong flag, where one that is taken is not. */
function refusedAddress(cause: unknown, { host, port }: { host: string; port: number }) {
  const { code = '', syscall = '' } = cause as NodeJS.ErrnoException;
  const reason = UNUSABLE_ADDRESSES[code];
  if (reason === undefined || !/^(listen|getaddrinfo)$/.test(syscall)) return undefined;
  const message = `--listen ${host}:${port}: ${reason}. For this host alone: 127.0.0.1:${port}`;
  return new CliError('usage', message, { cause });
}

const isOwnedByAnother = (error: unknown): boolean =>
  error instanceof ControlPlaneError && error.code === 'data_directory_in_use';

/** A fault that comes again with every call is told until another one comes. */
function eachOnce(tell: (message: string) => void): (message: string) => void {
  let last = '';
  return (message) => {
    if (message !== last) tell(message);
    last = message;
  };
}

/** What is told in several lines elsewhere is one line of a log. */
const onOneLine = (message: string): string => message.replaceAll(/\s*\n\s*/g, '; ');

/**
 * Undefined: the owner does not answer yet, or no longer. `reader`: it runs nothing and will be gone
 * in a moment, perhaps in the middle of an answer.
 */
async function tryJoin(
  { directories: { data }, image, network, withAgent }: PlatformOptions,
  waitedMs: number,
): Promise<Joined | 'reader' | undefined> {
  const isPatient = waitedMs < OWNER_PATIENCE_MS;
  const found = await ask(data).catch((error: unknown) => {
    if (isPatient) return undefined;
    throw error;
  });
  if (found === undefined) return undefined;
  if (found.fleet === 'none' && isPatient) return 'reader';
  if (found.fleet === 'none' && withAgent) {
    throw new CliError(
      'directory_in_use',
      `Another onejob command has been reading ${data} for ${OWNER_PATIENCE_MS / 1000} seconds, and ` +
        'nothing can run there before it ends. End it, or use a --data-dir of your own.',
    );
  }
  const [flag, what] = image === undefined ? ['network', 'network mode'] : ['image', 'image'];
  if (image === undefined && network === undefined) return found;
  throw new CliError(
    'usage',
    `--${flag} has no effect: another onejob owns ${data} and chose its ${what} at its start. ` +
      'Stop it, or use a --data-dir of your own.',
  );
}

async function ask(data: string): Promise<Joined> {
  const api = ApiClient.ofDataDirectory(join(data, 'api.sock'), join(data, 'api.token'));
  const { fleet } = await api.health();
  return { api, fleet, joined: true };
}

/** The agent's configuration for this data directory. */
async function agentConfig(
  options: PlatformOptions,
  controlPlaneSocketPath: string,
): Promise<AgentConfig> {
  const { directories, imageWatcher, warn, signal } = options;
  const images = new ImageStore(directories.cache, signal);
  const named = options.image === undefined ? undefined : await images.find(options.image);
  // What is wrong with it is told when a machine asks for it: others run meanwhile.
  const promoted =
    named === undefined ? await images.findPromoted([]).catch(() => undefined) : undefined;
  const extraLabels =
    named === undefined
      ? await images.promotedLabels().catch((error: unknown) => {
          warn(onOneLine(explainError(error)));
          return [];
        })
      : [];
  let built: Promise<GuestImage> | undefined;
  // For all who ask at a time; a failure is not kept, since the agent tries again.
  const build = async (): Promise<GuestImage> =>
    await (built ??= images.buildWatched(imageWatcher).catch((error: unknown) => {
      built = undefined;
      throw error;
    }));
  // What was promoted meanwhile counts; where that was taken back, what onejob builds.
  const promotedImage = async (labels: readonly string[]): Promise<GuestImage | undefined> => {
    if (named !== undefined) return await images.markUse(named);
    const found = await images.findPromoted(labels);
    if (found !== undefined) return await images.markUse(found);
    return promoted === undefined ? undefined : await images.markUse(await build());
  };
  return {
    stateDirectory: join(directories.data, 'agent'),
    cacheDirectory: directories.cache,
    controlPlaneSocketPath,
    guestRunnerPath: (await bundleGuestRunner({ cacheDir: directories.cache })).path,
    ...actionSettings(),
    ...driverSettings(options.engineSocket),
    ...egressSettings(),
    image: async () =>
      await images.markUse(named ?? (await images.findPromoted([])) ?? (await build())),
    promotedImage,
    extraLabels,
    prepareImage: options.driver !== 'process',
    ...(options.network === undefined ? {} : { network: options.network }),
    pool: { maximum: options.pool ?? 0 },
    warn,
  };
}

/**
 * What the operator says of drivers, in the files that these variables name. Another engine has none of
 * the images that its operator put into theirs, so it runs onejob's own.
 */
function driverSettings(
  engineSocket?: string,
): Pick<AgentConfig, 'docker' | 'firecracker' | 'process'> {
  const file = environmentValue('ONEJOB_DOCKER_SETTINGS') ?? '';
  const firecracker = environmentValue('ONEJOB_FIRECRACKER_SETTINGS') ?? '';
  const own = environmentValue('ONEJOB_PROCESS_SETTINGS') ?? '';
  const { image, allowedImages, ...settings } = file === '' ? {} : readDockerSettings(file);
  const images = { ...(image && { image }), ...(allowedImages && { allowedImages }) };
  const place = engineSocket === undefined ? images : { socketPath: engineSocket };
  return {
    docker: { ...settings, ...place },
    ...(firecracker === '' ? {} : { firecracker: readFirecrackerSettings(firecracker) }),
    // Who starts a run here is the person whose machine it is, and asks for this driver by its name.
    process: {
      trustedTenants: 'all',
      user: 'agent',
      ...(own === '' ? {} : readProcessSettings(own)),
    },
  };
}

/** What the operator says of the network around this host. */
function egressSettings(): Pick<AgentConfig, 'egress'> {
  const path = environmentValue('ONEJOB_EGRESS_SETTINGS') ?? '';
  return path === '' ? {} : { egress: readEgressSettings(path) };
}

/** Drivers as tried on this host, without a platform: for `doctor`. */
export async function tryDrivers(directories: Directories) {
  await makeCacheDirectory(directories.cache);
  return await probeDrivers(offlineConfig(directories));
}

/** An image's files as drivers without disks need them: kept in the cache from then on. */
export const unpackInto = async ({ cache }: Directories, image: GuestImage): Promise<string> =>
  await unpackImage(image, cache);

/** Whether this host can give machines a network of their own, tried: for `doctor`. */
export const tryNetwork = async (directories: Directories): Promise<NetworkProbe> =>
  await probeNetwork(offlineConfig(directories));

export type Leftovers = Pick<ReapReport, 'entries' | 'removed' | 'failed'> & {
  /** A onejob runs on the data directory: what it runs is left to it, until it is too old. */
  isOwned: boolean;
};

/** What there is to reap; nothing is started or changed for it. */
export async function listLeftovers(directories: Directories): Promise<Leftovers> {
  const isOwned = await ask(directories.data).then(
    () => true,
    (error: unknown) => !(error instanceof CliError && error.code === 'platform_unreachable'),
  );
  const options = { isOwnedByAnother: isOwned, isDryRun: true };
  return { ...(await reapOnce(offlineConfig(directories), options)), isOwned };
}

/**
 * Buries what a killed agent of this data directory left behind, and lets its control plane know
 * what became of the jobs. A platform that runs does this itself: beside it only what nobody owns, and
 * what is older than any job may be, is removed.
 */
export async function reapLeftovers(directories: Directories): Promise<Leftovers> {
  await makeDirectories(directories);
  await using controlPlane = await startControlPlane({
    dataDirectory: directories.data,
    database: { kind: 'pglite' },
    fleet: 'none',
  }).catch((error: unknown) => {
    if (isOwnedByAnother(error)) return undefined;
    throw error;
  });
  if (controlPlane === undefined) {
    const options = { isOwnedByAnother: true, isDryRun: false };
    return { ...(await reapOnce(offlineConfig(directories), options)), isOwned: true };
  }
  const controlPlaneSocketPath = controlPlane.agentSocketPath;
  await using agent = await startAgent({
    ...offlineConfig(directories),
    controlPlaneSocketPath,
    slots: 0,
  });
  const report = { ...agent.reaped };
  await agent.announced;
  return { ...report, isOwned: false };
}

function offlineConfig(directories: Directories): AgentConfig {
  return {
    stateDirectory: join(directories.data, 'agent'),
    cacheDirectory: directories.cache,
    controlPlaneSocketPath: '',
    guestRunnerPath: '',
    ...driverSettings(),
    ...egressSettings(),
    image: async () =>
      await Promise.reject(new AgentError('image_missing', 'No image outside of a platform.')),
  };
}
