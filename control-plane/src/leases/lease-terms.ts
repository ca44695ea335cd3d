/** How long offers and leases last, and how many jobs may hold one. */
export type LeaseTerms = {
  leaseMs: number;
  heartbeatMs: number;
  offerMs: number;
  leasesPerAttempt: number;
  /** Concurrent jobs of a tenant without an entry in `tenantOverrides`. */
  tenantConcurrency: number;
  tenantOverrides: Readonly<Record<string, number>>;
  /** Concurrent jobs of the whole platform; null: no cap. */
  globalConcurrency: number | null;
};

export const tenantCap = (terms: LeaseTerms, tenant: string): number =>
  Object.hasOwn(terms.tenantOverrides, tenant)
    ? terms.tenantOverrides[tenant]!
    : terms.tenantConcurrency;
