/**
 * What an attack is. Attacks are data: a probe that runs inside the sandbox, and the evidence by
 * which the host tells whether it got through. The host never asks the probe for its opinion: it
 * looks for values that only the host knows, and for changes on the host.
 *
 * Each attack is tried twice with the same probe: in a sandbox of the driver under proof, and as its
 * *positive control* where the defence is off. An attack whose control does not get through shows
 * nothing, and does not count.
 */

export const ATTACK_CLASSES = [
  'escape',
  'identity',
  'network',
  'credentials',
  'persistence',
  'resources',
  'burial',
] as const;
export type AttackClass = (typeof ATTACK_CLASSES)[number];

/** What runs in the sandbox. */
export type Probe =
  /** A script for `sh`; what it prints is what it saw. */
  | { do: 'script'; script: string }
  /** A script whose output goes into the job's log as it is. */
  | { do: 'print'; script: string }
  /** A script that says `ready` and stays until its job is ended. */
  | { do: 'stay'; script: string }
  /** Connects to a Unix socket, says `ask` and reads; a name with `@` is abstract. */
  | { do: 'socket'; path: string; ask: string }
  /** Connects to `host:port`, straight and through the proxy or by one way only, `times` times, and reads. */
  | { do: 'connect'; target: string; times: number; way?: 'proxy' }
  /** To the other sandbox, where that is: only known once it runs, and one of the others by then. */
  | { do: 'reach'; place: Place; by: 'connection' | 'ping' }
  /** Opens that many connections through the proxy and keeps them open together. */
  | { do: 'hold'; target: string; connections: number };

/**
 * Addresses of the other sandbox: those that its machine has itself, and those that the host has for it,
 * at either end of what leads there (the end in its namespace, and the host's own end).
 */
export const PLACES = [
  ...(['address', 'address-6', 'namespace', 'namespace-6'] as const),
  ...(['host-end', 'host-end-6'] as const),
] as const;
export type Place = (typeof PLACES)[number];
/** By place, as far as there is one: an address. */
export type Places = ReadonlyMap<Place, string>;

/** What the lines of a list tell of: which of them another machine cannot have, too, says evidence.ts. */
export type Telling = 'cards' | 'addresses' | 'disks';

/** How the host tells that an attack got through. */
export type Evidence =
  /** The probe saw this value, which is nowhere but on the host. */
  | { by: 'secret'; name: string }
  /**
   * The probe saw what the host sees when it does the same; nothing seen is nothing shown. Of some lists one
   * line is enough that tells of this host alone.
   */
  | { by: 'alike'; lines?: Telling }
  /** The probe saw a text that follows from success alone. */
  | { by: 'text'; text: string }
  /** Something of the probe came to a listener of the host: at this address, from that one, or any. */
  | { by: 'arrival'; address?: string; from?: string }
  /** The host finds this change of its own. */
  | { by: 'change'; name: string }
  /** The job's log, as the host keeps it, holds this text. */
  | { by: 'log'; text: string }
  /** The job's log, as the host keeps it, has a row that is longer. */
  | { by: 'row'; characters: number };

/**
 * In which job a probe runs, each in a sandbox of its own: the first, the one after it, the one that
 * runs beside the first until that has ended, or one that no other probe runs in, which may end it.
 */
export type Turn = 'first' | 'next' | 'beside' | 'alone';

type Common = {
  /** Unique; what `--only` names. */
  id: string;
  class: AttackClass;
  /** What it tries. */
  title: string;
  /** What happens where the defence holds: a sentence. */
  expected: string;
  /** What is off in its positive control: a sentence. */
  control: string;
};

export type SandboxAttack = Common & {
  kind: 'sandbox';
  /**
   * `host`: the control is the same script on the host of the proof itself, and not in a job of the
   * driver process. That is for limits which that driver has, too, and for what would hit the real
   * host's kernel: there no driver is tried that shares it, and the host of the proof has stand-ins.
   */
  controlOn?: 'host';
  /** In order; what is seen by the last one counts. */
  probes: readonly { turn: Turn; probe: Probe }[];
  evidence: Evidence;
};

/** Done by the host alone: it looks for something of a sandbox while that runs, and afterwards. */
export type RemainsAttack = Common & { kind: 'remains'; remains: Remains };

/**
 * Something of one job, used in another: in a later one, or in one that runs `beside` its owner. `take`
 * prints it in its own job; `use` finds it in $HEX, in hexadecimal. The control is the same use in the
 * job whose own it is.
 */
export type ReplayAttack = Common & {
  kind: 'replay';
  where: 'later' | 'beside';
  take: string;
  use: string;
  text: string;
};

/**
 * What a guest has won that has taken its machine monitor over: the host looks at the monitor's process
 * while a job runs. The control is the same look at the agent, which nothing confines.
 */
export type MonitorAttack = Common & { kind: 'monitor'; aspect: Aspect };

/** What was stolen of an agent's lease, shown to the control plane by who should not have it. */
export type LeaseAttack = Common & { kind: 'lease'; theft: Theft };

/**
 * More than a job may say, in a job of its own: on its log, or on a link that it has taken over. It has no
 * control, and so does not count where it is stopped.
 */
export type FloodAttack = Common & { kind: 'flood'; flood: Flood };

/**
 * Nonsense in the registers of all devices that a job's machine has. The control is the same in a machine
 * that has one device more, which ends its monitor at whatever is written there.
 */
export type DevicesAttack = Common & { kind: 'devices' };

export const REMAINS = [
  ...(['process', 'socket', 'directory', 'content', 'journal', 'descriptor'] as const),
  ...(['group', 'user', 'mount', 'container'] as const),
  ...(['interface', 'packet-rules', 'network'] as const),
] as const;
export type Remains = (typeof REMAINS)[number];

export const ASPECTS = [
  ...(['user', 'capabilities', 'privileges', 'calls', 'files', 'descriptors'] as const),
  ...(['network', 'processes', 'memory', 'limits', 'environment'] as const),
] as const;
export type Aspect = (typeof ASPECTS)[number];

export const FLOODS = ['log', 'message', 'frames'] as const;
export type Flood = (typeof FLOODS)[number];

export const THEFTS = [
  ...(['adoption', 'adoption-of-other', 'session-of-other', 'old-epoch'] as const),
  ...(['no-agent', 'log-after-end', 'end-after-end'] as const),
] as const;
export type Theft = (typeof THEFTS)[number];

export type Attack =
  | SandboxAttack
  | ReplayAttack
  | RemainsAttack
  | MonitorAttack
  | LeaseAttack
  | FloodAttack
  | DevicesAttack;

/** Chosen by `--only`: ids and classes; none: all. */
export function chooseAttacks(
  attacks: readonly Attack[],
  only: readonly string[],
): { chosen: Attack[]; unknown: string[] } {
  const known = new Set(attacks.flatMap((attack) => [attack.id, attack.class as string]));
  return {
    chosen: attacks.filter(
      ({ id, class: kind }) => only.length === 0 || only.includes(id) || only.includes(kind),
    ),
    unknown: only.filter((word) => !known.has(word)),
  };
}
