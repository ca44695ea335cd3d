/**
 * `onejob.guest.v1`: what agent and guest runner say to each other on the link.
 *
 * The guest is the HTTP/2 client (prior knowledge), the agent the server. Two carriers: `control`
 * (hello, control, logs) and `bulk` (CONNECT, source). Streams carry JSON, one message a line.
 *
 *     POST /onejob.guest.v1/hello     GuestHello            -> HostHello             one each
 *     POST /onejob.guest.v1/control   GuestMessage ...      <-> HostMessage ...      both ways, until the end
 *     POST /onejob.guest.v1/logs      LogBatch ... LogEnd   <-> LogAck ...           both ways, until the end
 *     CONNECT host:port               (bulk)                through the guard
 *     /source/...                     (bulk)                git smart HTTP of the run's own snapshot, read only
 *     GET /actions/?owner=&...        (bulk)                the files of an action, as a tar archive
 *     /results/...                    (bulk)                caches and artifacts, as GitHub's clients ask for them
 *
 * The agent validates every message from the guest (guest-messages.ts) and trusts none; a
 * message that does not fit ends the job with `protocol_violation`. The guest validates nothing:
 * whoever can write to its link is its host.
 */
import type { JobTask } from './task.ts';

export const GUEST_PROTOCOL = 'onejob.guest.v1';
export const GUEST_PATHS = {
  hello: '/onejob.guest.v1/hello',
  control: '/onejob.guest.v1/control',
  logs: '/onejob.guest.v1/logs',
  source: '/source/',
  actions: '/actions/',
  results: '/results/',
  /** GET of a name: whether it exists (200, 404), may be known (403), or that nobody can say (502). */
  names: '/names/',
} as const;
/** Of an action's files: the commit they are of, empty where they have none, and where they come from. */
export const ACTION_COMMIT_HEADER = 'onejob-action-commit';
export const ACTION_ORIGIN_HEADER = 'onejob-action-origin';

/**
 * Whether onejob's own implementation of an action is used: where no mirror has the action, always,
 * or never. It never takes the place of an action that is named by a full commit SHA.
 */
export const BUILTIN_POLICIES = ['fallback', 'always', 'never'] as const;
export type BuiltinPolicy = (typeof BUILTIN_POLICIES)[number];

/**
 * The machine as init, guest runner and driver agree on it.
 * Ports are virtserialport names; disks are virtio-blk serials.
 */
export const MACHINE = {
  ports: { control: 'onejob.control', bulk: 'onejob.bulk', init: 'onejob.init' },
  disks: { root: 'root', work: 'work' },
  workDirectory: '/work',
  /**
   * The interface of a machine in network mode `nat`, the same in all of them; init sets it up when
   * its arguments have the word for it (with IPv6 or without).
   */
  network: {
    initArguments: { withIpv6: 'nat6', withoutIpv6: 'nat4' },
    mac: '02:00:00:00:00:02',
    address: '172.31.0.2',
    gatewayMac: '02:00:00:00:00:01',
    gateway: '172.31.0.1',
    prefix: 30,
    address6: 'fd6f:6e65:6a6f::2',
    gateway6: 'fd6f:6e65:6a6f::1',
    prefix6: 64,
  },
  /**
   * For programs that know no proxy, where there is no interface: the resolver's address, as in the
   * image's /etc/resolv.conf; and the guest runner's port, which packet rules lead connections to where
   * the machine has no kernel of its own.
   */
  steering: { resolver: '198.18.0.53', port: 54 },
} as const;

/** `link`: no interface at all. `nat`: one of its own, and the way out that the host's guard leaves. */
export const NETWORK_MODES = ['link', 'nat'] as const;
export type NetworkMode = (typeof NETWORK_MODES)[number];

export type HostHello = {
  sandboxId: string;
  hostname: string;
  /** 32 lower-case hexadecimal digits. */
  machineId: string;
  /** 64 bytes, hexadecimal: fresh for this boot or restore. */
  entropy: string;
  clockUnixMs: number;
  network: NetworkMode;
  /** Connections are led to `MACHINE.steering.port`; in a machine with a kernel of its own init does more. */
  steered: boolean;
  /**
   * How this host gives actions; `mirrored`: it has mirrors to ask. `serverUrl`: where repositories
   * are that are not here, without a slash at its end; empty: nowhere.
   */
  actions: { builtin: BuiltinPolicy; mirrored: boolean; serverUrl: string };
};

export const GUEST_END_REASONS = [
  'steps_completed',
  'step_failed',
  'invalid_expression',
  'out_of_memory',
  'disk_full',
  'deadline',
  'cancelled',
  'unsupported',
] as const;

export type HostMessage =
  | { type: 'job'; task: JobTask }
  /**
   * Polite: the running step is signalled, unless it is due all the same, and has `graceMs` to end;
   * what is due after a cancellation still runs; after `timeoutMs` the rest is killed.
   */
  | { type: 'cancel'; reason: 'cancelled' | 'deadline'; graceMs: number; timeoutMs: number }
  /** At once: the whole process tree of the job. */
  | { type: 'kill' };

/** Rows below `ack` are durable at the control plane; the sender forgets them. */
export type LogAck = { ack: number };
