/** What an agent is told at its start, validated and completed. It holds no secret. */
import { createHash } from 'node:crypto';
import { availableParallelism, hostname, totalmem } from 'node:os';
import { join, resolve } from 'node:path';
import type { BuiltinPolicy, NetworkMode } from '@onejob/protocol';
import { CANCEL_TIMEOUT_MS } from '@onejob/protocol/limits';
import type { DockerSettings } from '../drivers/docker/config.ts';
import type { FirecrackerSettings } from '../drivers/firecracker/config.ts';
import type { ProcessSettings } from '../drivers/process/config.ts';
import { AgentError } from '../errors.ts';
import { REAP_INTERVAL_MS } from '../limits.ts';
import type { GuardOptions } from '../guard/guard.ts';
import type { PolicyOptions } from '../guard/policy.ts';
import { checkUserRange, SANDBOX_USERS, type UserRange } from '../host/sandbox-user.ts';
import { DEFAULT_ADDRESS_RANGE, parseAddressRange } from '../network/plan.ts';
import type { QemuSettings } from '../drivers/qemu/config.ts';
import type { DriverName, MachineImage } from '../sandbox/driver.ts';
import type { PoolLimits } from '../sandbox/pool.ts';
import type { JournalObserver } from '../sandbox/journal.ts';
import { completePool } from './pool-limits.ts';

export type AgentConfig = {
  /** Holds sandboxes, journals, kept sandboxes, caches and artifacts; made when missing, 0700. */
  stateDirectory: string;
  /** Results of probes that cost seconds. */
  cacheDirectory: string;
  /** The control plane's agent socket. */
  controlPlaneSocketPath: string;
  /** The runner's bundle for drivers without an image. */
  guestRunnerPath: string;
  /** Finds an image by digest; an empty digest is the default image. Throws `image_missing`. */
  image: (digest: string) => Promise<MachineImage>;
  /**
   * The image of new jobs with these labels that say no digest, asked for each; undefined, or not
   * given: the default image.
   */
  promotedImage?: (labels: readonly string[]) => Promise<MachineImage | undefined>;
  /**
   * Get the default image ready at once; jobs that need it wait meanwhile, reason
   * `image_preparing`. Default: when the first such job comes.
   */
  prepareImage?: boolean;
  /**
   * Directories with actions, asked in this order: `owner/repository.git` (bare) or
   * `owner/repository` (a git checkout), and `owner/repository@ref` (files only); of other servers
   * below a directory with the server's name.
   */
  actionMirrors?: readonly string[];
  /**
   * Servers that are asked, in this order, for what no mirror has; none: nothing comes over the
   * network, whatever address a `uses:` names. The first has the other repositories of checkouts too.
   */
  actionsUrls?: readonly string[];
  /** By owner, in lower case, the one server that is asked for repositories of that owner. */
  actionOwners?: ReadonlyMap<string, string>;
  builtinActions?: BuiltinPolicy;
  /**
   * What any job, and this agent for it, may reach beside what the guard allows by itself, and what
   * not. What single jobs may reach of that is the control plane's to say.
   */
  egress?: PolicyOptions & Pick<GuardOptions, 'limits' | 'resolver'>;
  /**
   * `link` (default): sandboxes have no interface. `nat`: one of their own, where the driver and the
   * host can; the agent does not start where they cannot.
   */
  network?: NetworkMode;
  /** Private IPv4 range that sandboxes in mode `nat` are seen by on this host; default 10.213.0.0/16. */
  networkAddressRange?: string;
  /** Drivers to offer, strongest first. */
  drivers?: readonly DriverName[];
  qemu?: QemuSettings;
  /** For the driver docker; refused settings keep the agent from starting. */
  docker?: DockerSettings;
  /** For the driver firecracker; by default its programs are where the system has programs. */
  firecracker?: FirecrackerSettings;
  /** For the driver process; by default it trusts nobody's jobs. */
  process?: ProcessSettings;
  hostName?: string;
  labels?: readonly string[];
  /** Offered beside `labels`. */
  extraLabels?: readonly string[];
  /** Sandboxes at a time; 0: take no job, only reap and announce. */
  slots?: number;
  bootTimeoutMs?: number;
  /**
   * Restore machines from snapshots, where the driver can, and make those that are missing in the
   * background; default: yes. They are kept in the cache directory.
   */
  snapshots?: boolean;
  /** Machines of the driver qemu have a device that ends them: the control of a proof. */
  obeyingDevice?: boolean;
  /** Machines that wait for jobs, of drivers that can; by default none does. */
  pool?: Partial<PoolLimits>;
  /** Where the agent is root: the numbers of the users that machines are, nobody else's on this host. */
  sandboxUsers?: UserRange;
  /** What is due after a polite cancellation, as steps with `always()`, has so long. */
  cancelTimeoutMs?: number;
  /** Pause between looks for what burials left. */
  reapIntervalMs?: number;
  /** Told of every journal line as it is written (tests kill the agent there). */
  onJournalLine?: JournalObserver;
  /** Things the operator should know. */
  warn?: (message: string) => void;
};

export type CompleteAgentConfig = Required<Omit<AgentConfig, 'bootTimeoutMs' | 'pool'>> & {
  bootTimeoutMs: number | undefined;
  pool: PoolLimits;
  /** Tells this agent's processes from another agent's on the same host. */
  hostMarker: string;
  sandboxesDirectory: string;
  journalsDirectory: string;
  keptDirectory: string;
  /** Files of actions, by repository and commit, shared by all jobs. */
  actionsDirectory: string;
  resultsDirectory: string;
  searchPath: string;
  cpus: number;
  memoryBytes: number;
};

/**
 * What `runs-on` says most often, and what this machine is. Every host is in the runner group
 * `Default` (`runs-on: { group: Default }`), as a runner of GitHub's is unless it is put in another.
 */
const DEFAULT_LABELS = [
  ...['onejob', 'self-hosted', 'linux', 'x64', 'ubuntu-latest', 'debian-12'],
  'group:default',
];

export const DEFAULT_ACTIONS_URLS = ['https://github.com'];

export function completeConfig(config: AgentConfig): CompleteAgentConfig {
  const stateDirectory = resolve(config.stateDirectory);
  const cpus = availableParallelism();
  const slots = config.slots ?? Math.max(2, cpus);
  if (!Number.isInteger(slots) || slots < 0 || slots > 1000) {
    throw new AgentError(
      'invalid_configuration',
      `slots is ${slots}; it must be a whole number from 0 to 1000.`,
    );
  }
  checkUserRange(config.sandboxUsers ?? SANDBOX_USERS);
  parseAddressRange(config.networkAddressRange ?? DEFAULT_ADDRESS_RANGE);
  return {
    bootTimeoutMs: undefined,
    cancelTimeoutMs: CANCEL_TIMEOUT_MS,
    drivers: ['qemu', 'firecracker', 'gvisor', 'docker', 'process'],
    sandboxUsers: SANDBOX_USERS,
    snapshots: true,
    obeyingDevice: false,
    prepareImage: false,
    actionMirrors: [],
    actionsUrls: DEFAULT_ACTIONS_URLS,
    actionOwners: new Map(),
    builtinActions: 'fallback',
    egress: {},
    network: 'link',
    networkAddressRange: DEFAULT_ADDRESS_RANGE,
    qemu: {},
    docker: {},
    firecracker: {},
    process: {},
    hostName: hostname(),
    promotedImage: async () => await Promise.resolve(undefined),
    extraLabels: [],
    reapIntervalMs: REAP_INTERVAL_MS,
    onJournalLine: () => {},
    warn: () => {},
    ...config,
    labels: [...new Set([...(config.labels ?? DEFAULT_LABELS), ...(config.extraLabels ?? [])])],
    pool: completePool(config.pool ?? {}, config.network ?? 'link'),
    slots,
    stateDirectory,
    hostMarker: createHash('sha256').update(stateDirectory).digest('hex').slice(0, 16),
    sandboxesDirectory: join(stateDirectory, 'sandboxes'),
    journalsDirectory: join(stateDirectory, 'journals'),
    keptDirectory: join(stateDirectory, 'kept'),
    actionsDirectory: join(stateDirectory, 'actions'),
    resultsDirectory: join(stateDirectory, 'results'),
    searchPath: process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin',
    cpus,
    memoryBytes: totalmem(),
  };
}
