/**
 * What a control plane is told at its start, checked and completed. Unknown keys are refused, a value
 * that cannot be is named with what it may be, and contradictions with both values. It holds no
 * secret but a password that may stand in the database's URL, so it is not logged.
 */
import {
  type Fleet,
  FLEETS,
  HEARTBEAT_MS,
  JOB_TIMEOUT_MAX_MS,
  LEASE_KILL_MARGIN_MS,
  LEASE_MS,
  LEASES_PER_ATTEMPT,
  OFFER_MS,
  parseEgressPolicy,
  parseRepositoryName,
} from '@onejob/protocol';
import { type Clock, systemClock } from '../clock.ts';
import { ControlPlaneError } from '../errors.ts';
import type { ElsewhereRepositories } from '../runs/elsewhere.ts';
import type { LeaseTerms, TenantLimits } from '../leases/lease-terms.ts';
import {
  LEASE_SLACK_MS,
  MAX_WEIGHT,
  SOURCE_STALL_MS,
  SWEEP_MS,
  TENANT_CONCURRENCY,
  TENANT_JOBS_PER_FIVE_MINUTES,
  TENANT_MINUTES_PER_JOB,
} from '../limits.ts';

export type ControlPlaneConfig = {
  dataDirectory: string;
  database: { kind: 'pglite' } | { kind: 'postgres'; url: string };
  /** Also serves the API on TCP; `allowedHosts` are names clients may use besides the address. */
  listen?: { host: string; port: number; allowedHosts?: readonly string[] };
  /** Share, caps and reach of every tenant, where they are not to be as in DEFAULT_LIMITS. */
  tenantDefaults?: Partial<TenantLimits>;
  /** The same for single tenants, by name, over `tenantDefaults`. */
  tenants?: Readonly<Record<string, Partial<TenantLimits>>>;
  /** Jobs of all tenants at once. Default: null, no cap. */
  globalConcurrency?: number | null;
  /** Which hosts it will have. Default: open. */
  fleet?: Fleet;
  /**
   * Whether it is one person's, who pushes from checkouts of repositories that have their place on other
   * servers. Then pull requests from other repositories are given actions and called workflows of
   * their tenant's other repositories, and what of those is not here is looked for on servers.
   * Default: false.
   */
  personal?: boolean;
  /** Who finds called workflows that are not on this platform. Default: nobody. */
  elsewhere?: ElsewhereRepositories;
  /** Told of failures that are ours, one sentence a line. Default: nowhere. */
  log?: (message: string) => void;
  version?: string;
  leaseMs?: number;
  offerMs?: number;
  /** For tests: time, and how often it is looked at. */
  clock?: Clock;
  sweepMs?: number;
  /** For tests: how long a fetch may stand still. */
  sourceStallMs?: number;
};

export type CompleteConfig = Pick<
  ControlPlaneConfig,
  'dataDirectory' | 'database' | 'listen' | 'log' | 'elsewhere'
> &
  Required<
    Pick<
      ControlPlaneConfig,
      'version' | 'fleet' | 'clock' | 'sweepMs' | 'sourceStallMs' | 'personal'
    >
  > & {
    terms: LeaseTerms;
  };

/** A platform that several people share. */
const DEFAULT_LIMITS: TenantLimits = {
  weight: 1,
  repositoryWeights: {},
  concurrentJobs: TENANT_CONCURRENCY,
  jobsPerFiveMinutes: TENANT_JOBS_PER_FIVE_MINUTES,
  minutesPerJob: TENANT_MINUTES_PER_JOB,
  seats: null,
  overageAllowed: false,
  egress: 'audit',
  repositoryEgress: {},
};

const MINUTE_MS = 60_000;
const MAX_MINUTES_PER_JOB = JOB_TIMEOUT_MAX_MS / MINUTE_MS;

/**
 * A lease under this would be fenced by agents that hear every answer: they count a term from when
 * a heartbeat was sent, its answer takes HEARTBEAT_MS, the next one's as long, and they kill
 * LEASE_KILL_MARGIN_MS before the end.
 */
const MIN_LEASE_MS = LEASE_KILL_MARGIN_MS + 2 * HEARTBEAT_MS + LEASE_SLACK_MS;

const refuse = (problem: string): never => {
  throw new ControlPlaneError('invalid_configuration', `The configuration is refused: ${problem}.`);
};

/** JSON has no NaN. */
const show = (value: unknown): string =>
  typeof value === 'number' ? String(value) : JSON.stringify(value);

/** What a value must be, in words; undefined: it is. */
type Check = (value: unknown) => string | undefined;

const whole =
  (min: number, max: number = Number.MAX_SAFE_INTEGER): Check =>
  (value) => {
    if (Number.isSafeInteger(value) && Number(value) >= min && Number(value) <= max) return;
    return max === Number.MAX_SAFE_INTEGER
      ? `a whole number from ${min}`
      : `a whole number from ${min} to ${max}`;
  };
const orNull =
  (check: Check): Check =>
  (value) => {
    const wanted = value === null ? undefined : check(value);
    return wanted === undefined ? undefined : `${wanted}, or null for no cap`;
  };

const WEIGHT = whole(1, MAX_WEIGHT);
const EGRESS: Check = (value) => {
  const policy =
    typeof value === 'string' ? parseEgressPolicy(value) : { problem: 'it is no text' };
  return 'problem' in policy ? `an egress policy: ${policy.problem}` : undefined;
};

/** Refuses what is no object, keys that `checks` does not have, and values that do not pass. */
function checkAll(value: unknown, path: string, checks: Readonly<Record<string, Check>>): void {
  for (const [key, one] of entriesOf(value, path)) {
    const at = path === '' ? key : `${path}.${key}`;
    const check = Object.hasOwn(checks, key) ? checks[key] : undefined;
    if (check === undefined) {
      return refuse(`there is no ${at}; known are ${Object.keys(checks).join(', ')}`);
    }
    const wanted = one === undefined ? undefined : check(one);
    if (wanted !== undefined) refuse(`${at} is ${show(one)}; it must be ${wanted}`);
  }
}

function entriesOf(value: unknown, path: string): [string, unknown][] {
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    return Object.entries(value);
  }
  return refuse(`${path} is ${show(value)}; it must have named values`);
}

const anything: Check = () => undefined;

const LIMIT_CHECKS: Readonly<Record<keyof TenantLimits, Check>> = {
  weight: WEIGHT,
  repositoryWeights: anything,
  concurrentJobs: orNull(whole(0)),
  jobsPerFiveMinutes: orNull(whole(0)),
  minutesPerJob: whole(1, MAX_MINUTES_PER_JOB),
  seats: orNull(whole(0)),
  overageAllowed: (value) => (typeof value === 'boolean' ? undefined : 'true or false'),
  egress: EGRESS,
  repositoryEgress: anything,
};

const CONFIG_CHECKS: Readonly<Record<keyof ControlPlaneConfig, Check>> = {
  dataDirectory: anything,
  database: anything,
  listen: anything,
  tenantDefaults: anything,
  tenants: anything,
  globalConcurrency: orNull(whole(0)),
  fleet: (value) =>
    FLEETS.some((one) => one === value) ? undefined : `one of ${FLEETS.join(', ')}`,
  personal: (value) => (typeof value === 'boolean' ? undefined : 'true or false'),
  elsewhere: anything,
  log: anything,
  version: anything,
  leaseMs: whole(1),
  offerMs: whole(1),
  clock: anything,
  sweepMs: whole(1),
  sourceStallMs: whole(1),
};

function checkName(name: string, path: string): void {
  if (parseRepositoryName(`${name}/${name}`) !== undefined) return;
  refuse(`${path} names "${name}"; a name is of letters, digits, ".", "_" and "-"`);
}

function checkByRepository(values: unknown, path: string, check: Check): void {
  const seen = new Map<string, string>();
  for (const [name, value] of entriesOf(values, path)) {
    checkName(name, path);
    const wanted = check(value);
    if (wanted !== undefined) refuse(`${path}.${name} is ${show(value)}; it must be ${wanted}`);
    const other = seen.get(name.toLowerCase());
    if (other !== undefined) refuse(`${path} names "${other}" and "${name}", which are the same`);
    seen.set(name.toLowerCase(), name);
  }
}

/** `given` over `base`. */
function completeLimits(
  base: TenantLimits,
  given: Partial<TenantLimits>,
  path: string,
): TenantLimits {
  checkAll(given, path, LIMIT_CHECKS);
  const said = Object.entries(given).filter(([, value]) => value !== undefined);
  const limits: TenantLimits = { ...base, ...Object.fromEntries(said) };
  checkByRepository(limits.repositoryWeights, `${path}.repositoryWeights`, WEIGHT);
  checkByRepository(limits.repositoryEgress, `${path}.repositoryEgress`, EGRESS);
  if (given.overageAllowed === true && limits.seats === null) {
    refuse(
      `${path}.overageAllowed is true, but ${path}.seats is null: without seats no minute is over`,
    );
  }
  return limits;
}

/** Throws `invalid_configuration`. */
export function completeConfig(config: ControlPlaneConfig): CompleteConfig {
  checkAll(config, '', CONFIG_CHECKS);
  const leaseMs = config.leaseMs ?? LEASE_MS;
  if (leaseMs < MIN_LEASE_MS) {
    refuse(
      `leaseMs is ${leaseMs}, but heartbeats are ${HEARTBEAT_MS} ms apart and agents kill a ` +
        `sandbox ${LEASE_KILL_MARGIN_MS} ms before its lease ends, so healthy jobs would die; ` +
        `give it at least ${MIN_LEASE_MS}`,
    );
  }
  const { tenantDefaults = {}, tenants = {}, elsewhere, listen, log } = config;
  const defaults = completeLimits(DEFAULT_LIMITS, tenantDefaults, 'tenantDefaults');
  const overrides = entriesOf(tenants, 'tenants').map(([tenant, given]) => {
    checkName(tenant, 'tenants');
    const limits = completeLimits(defaults, given as Partial<TenantLimits>, `tenants.${tenant}`);
    return [tenant, limits] as const;
  });
  return {
    dataDirectory: config.dataDirectory,
    database: config.database,
    ...(listen === undefined ? {} : { listen }),
    ...(log === undefined ? {} : { log }),
    ...(elsewhere === undefined ? {} : { elsewhere }),
    version: config.version ?? '0.1.0',
    fleet: config.fleet ?? 'open',
    personal: config.personal ?? false,
    clock: config.clock ?? systemClock,
    sweepMs: config.sweepMs ?? SWEEP_MS,
    sourceStallMs: config.sourceStallMs ?? SOURCE_STALL_MS,
    terms: {
      leaseMs,
      offerMs: config.offerMs ?? OFFER_MS,
      leasesPerAttempt: LEASES_PER_ATTEMPT,
      tenantDefaults: defaults,
      tenants: new Map(overrides),
      globalConcurrency: config.globalConcurrency ?? null,
    },
  };
}
