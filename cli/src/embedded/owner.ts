/**
 * The platform in this process: control plane and agent, over the same interfaces as on many machines
 * (the REST API and the agent protocol, each on its Unix socket). This file is the only one of the
 * command line that touches server code, and is loaded by whoever owns a data directory, or asks its
 * host.
 */
import { join } from 'node:path';
import {
  AgentError,
  probeDrivers,
  probeNetwork,
  readDockerSettings,
  readFirecrackerSettings,
  readEgressSettings,
  readHostSettings,
  readPoolSettings,
  readProcessSettings,
  readQemuSettings,
  needsImage,
  reapOnce,
  startAgent,
  unpackImage,
  WorkflowRepositories,
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
import { explainError, type Fleet } from '@onejob/protocol';
import { ApiClient } from '../api-client.ts';
import { actionSettings, environmentValue, type Directories } from '../config/environment.ts';
import { CliError } from '../errors.ts';
import { ImageStore, type GuestImage } from './images.ts';
import { makeCacheDirectory, makeDirectories } from './make-directory.ts';
import { findOwner, type Platform, type PlatformOptions } from './platform.ts';

/** One person's machine is shared with nobody: only its slots bound what runs, and GitHub's time. */
const OWN_MACHINE: Partial<TenantLimits> = {
  concurrentJobs: null,
  jobsPerFiveMinutes: null,
  minutesPerJob: 360,
};

export type { Agent, ReapEntry } from '@onejob/agent';
export type ProcessSettings = NonNullable<AgentConfig['process']>;

/**
 * The agent starts before an image is built: jobs that need none run meanwhile, in this and in other
 * terminals, and the others say what they wait for. Undefined: another process owns the data directory.
 */
export async function startOwner(options: PlatformOptions): Promise<Platform | undefined> {
  await using undo = new AsyncDisposableStack();
  const elsewhere = undo.use(
    new WorkflowRepositories({
      directory: join(options.directories.data, 'agent', 'workflows'),
      ...actionSettings(),
    }),
  );
  const controlPlane = await tryStart(options, elsewhere);
  if (controlPlane === undefined) return undefined;
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
    ...driverSettings(options),
    ...hostSettings(),
    ...egressSettings(),
    image: async () =>
      await images.markUse(named ?? (await images.findPromoted([])) ?? (await build())),
    promotedImage,
    extraLabels,
    prepareImage: options.driver !== 'process',
    ...(options.network === undefined ? {} : { network: options.network }),
    obeyingDevice: options.obeyingDevice ?? false,
    ...poolSettings(options.pool),
    warn,
  };
}

type OfDrivers = Pick<PlatformOptions, 'engineSocket' | 'processSettings'>;

/**
 * What the operator says of drivers, in the files that these variables name. Another engine has none of
 * the images that its operator put into theirs, so it runs onejob's own.
 */
function driverSettings({ engineSocket, processSettings }: OfDrivers = {}): Pick<
  AgentConfig,
  'docker' | 'firecracker' | 'process' | 'qemu'
> {
  const file = environmentValue('ONEJOB_DOCKER_SETTINGS') ?? '';
  const firecracker = environmentValue('ONEJOB_FIRECRACKER_SETTINGS') ?? '';
  const qemu = environmentValue('ONEJOB_QEMU_SETTINGS') ?? '';
  const own = environmentValue('ONEJOB_PROCESS_SETTINGS') ?? '';
  const { image, allowedImages, ...settings } = file === '' ? {} : readDockerSettings(file);
  const images = { ...(image && { image }), ...(allowedImages && { allowedImages }) };
  const place = engineSocket === undefined ? images : { socketPath: engineSocket };
  return {
    docker: { ...settings, ...place },
    ...(qemu === '' ? {} : { qemu: readQemuSettings(qemu) }),
    ...(firecracker === '' ? {} : { firecracker: readFirecrackerSettings(firecracker) }),
    // Who starts a run here is the person whose machine it is, and asks for this driver by its name.
    process: processSettings ?? {
      trustedTenants: 'all',
      ...(own === '' ? {} : readProcessSettings(own)),
    },
  };
}

/** What sandboxes get of this host. */
function hostSettings(): Pick<AgentConfig, 'networkAddressRange' | 'sandboxUsers' | 'snapshots'> {
  const path = environmentValue('ONEJOB_HOST_SETTINGS') ?? '';
  return path === '' ? {} : readHostSettings(path);
}

/** What the operator says of the network around this host. */
function egressSettings(): Pick<AgentConfig, 'egress'> {
  const path = environmentValue('ONEJOB_EGRESS_SETTINGS') ?? '';
  return path === '' ? {} : { egress: readEgressSettings(path) };
}

/** Machines wait only where a platform is left running, so only there are these settings read. */
function poolSettings(maximum: number | undefined): Pick<AgentConfig, 'pool'> {
  if (maximum === undefined) return {};
  const path = environmentValue('ONEJOB_POOL_SETTINGS') ?? '';
  return { pool: { ...(path === '' ? {} : readPoolSettings(path)), maximum } };
}

/** Drivers as tried on this host, without a platform: for `doctor`, and before a proof. */
export async function tryDrivers(directories: Directories, settings?: OfDrivers) {
  await makeCacheDirectory(directories.cache);
  return await probeDrivers(offlineConfig(directories, settings));
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
  const isOwned = await findOwner(directories.data).then(
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

function offlineConfig(directories: Directories, settings: OfDrivers = {}): AgentConfig {
  return {
    stateDirectory: join(directories.data, 'agent'),
    cacheDirectory: directories.cache,
    controlPlaneSocketPath: '',
    guestRunnerPath: '',
    ...driverSettings(settings),
    ...hostSettings(),
    ...egressSettings(),
    image: async () =>
      await Promise.reject(new AgentError('image_missing', 'No image outside of a platform.')),
  };
}
