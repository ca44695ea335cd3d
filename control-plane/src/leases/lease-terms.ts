/**
 * How long offers and leases last, what a tenant's share of the hosts is, and how much a tenant and
 * the platform may run at once. `config/` completes these from what the operator says.
 */

/** Share, caps and reach of one tenant. Null: no cap. */
export type TenantLimits = {
  /** Its share of the hosts while others wait, too: 2 gets twice the active jobs of 1. */
  weight: number;
  /** The same for its repositories among each other, by name; one without an entry has 1. */
  repositoryWeights: Readonly<Record<string, number>>;
  concurrentJobs: number | null;
  /** Leases in any five minutes. */
  jobsPerFiveMinutes: number | null;
  /** What `timeout-minutes` is cut to, and what a job without it gets. */
  minutesPerJob: number;
  /** Each brings MINUTES_PER_SEAT a calendar month (UTC); null: minutes are not limited. */
  seats: number | null;
  /** Whether jobs still run when the month's minutes are used up. */
  overageAllowed: boolean;
  /** What its jobs may reach, in the notation of @onejob/protocol's egress.ts. */
  egress: string;
  /** The same for single repositories, by name, in the place of its own. */
  repositoryEgress: Readonly<Record<string, string>>;
};

export type LeaseTerms = {
  leaseMs: number;
  offerMs: number;
  leasesPerAttempt: number;
  /** Of every tenant that has no entry in `tenants`. */
  tenantDefaults: TenantLimits;
  tenants: ReadonlyMap<string, TenantLimits>;
  /** Concurrent jobs of the whole platform; null: no cap. */
  globalConcurrency: number | null;
};

export const limitsOf = (
  terms: Pick<LeaseTerms, 'tenantDefaults' | 'tenants'>,
  tenant: string,
): TenantLimits => terms.tenants.get(tenant) ?? terms.tenantDefaults;

/**
 * What the operator lets the jobs of a repository (`tenant/name`) reach. Forges take names for the same
 * however they are written (large, small), so no way of writing one is let past its policy.
 */
export function egressFor(
  { egress, repositoryEgress }: Pick<TenantLimits, 'egress' | 'repositoryEgress'>,
  repository: string,
): string {
  const name = repository.slice(repository.indexOf('/') + 1).toLowerCase();
  const own = Object.entries(repositoryEgress).find(([one]) => one.toLowerCase() === name);
  return own === undefined ? egress : own[1];
}

/** What counts against the caps of one job. */
export type CapCounts = {
  /** Active jobs: of the platform, the tenant, the job's matrix. */
  all: number;
  tenant: number;
  matrix: number;
  /** Jobs of the tenant leased in the last five minutes. */
  recent: number;
};

export type FullCap = 'global_concurrency' | 'tenant_concurrency' | 'tenant_rate' | 'max_parallel';

/** Pure: the first cap that leaves no room for one more job; undefined: none. */
export function fullCap(
  counts: CapCounts,
  job: { tenant: string; max_parallel: number | null },
  terms: Pick<LeaseTerms, 'tenantDefaults' | 'tenants' | 'globalConcurrency'>,
): FullCap | undefined {
  const limits = limitsOf(terms, job.tenant);
  const isFull = (count: number, cap: number | null): boolean => cap !== null && count >= cap;
  if (isFull(counts.all, terms.globalConcurrency)) return 'global_concurrency';
  if (isFull(counts.tenant, limits.concurrentJobs)) return 'tenant_concurrency';
  if (isFull(counts.recent, limits.jobsPerFiveMinutes)) return 'tenant_rate';
  return isFull(counts.matrix, job.max_parallel) ? 'max_parallel' : undefined;
}
