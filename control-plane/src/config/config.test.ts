import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HEARTBEAT_MS, LEASE_MS } from '@onejob/protocol';
import { limitsOf } from '../leases/lease-terms.ts';
import { completeConfig } from './config.ts';

const complete = (config: object) =>
  completeConfig({ dataDirectory: '/data', database: { kind: 'pglite' }, ...config });
const refuses = (config: object, message: RegExp): void =>
  assert.throws(() => complete(config), { code: 'invalid_configuration', message });

test('without settings a platform has the limits of one that several people share', () => {
  const { terms } = complete({});
  assert.equal(terms.leaseMs, LEASE_MS);
  assert.equal(terms.globalConcurrency, null);
  assert.deepEqual(limitsOf(terms, 'anybody'), {
    weight: 1,
    repositoryWeights: {},
    concurrentJobs: 30,
    jobsPerFiveMinutes: 100,
    minutesPerJob: 60,
    seats: null,
    overageAllowed: false,
    egress: 'audit',
    repositoryEgress: {},
  });
});

test('a tenant’s settings go over those of all tenants, and those over the built-in ones', () => {
  const { terms } = complete({
    tenantDefaults: { concurrentJobs: 5, weight: 2 },
    tenants: { acme: { weight: 3, seats: 10, overageAllowed: true, minutesPerJob: undefined } },
  });
  const { concurrentJobs, weight, seats, overageAllowed, minutesPerJob } = limitsOf(terms, 'acme');
  assert.deepEqual(
    { concurrentJobs, weight, seats, overageAllowed, minutesPerJob },
    { concurrentJobs: 5, weight: 3, seats: 10, overageAllowed: true, minutesPerJob: 60 },
  );
});

test('unknown keys are refused, wherever they are, with those that are known', () => {
  refuses({ tenantConcurrency: 5 }, /there is no tenantConcurrency; known are .*tenantDefaults/);
  refuses({ tenantDefaults: { concurency: 5 } }, /no tenantDefaults\.concurency; known are weight/);
  refuses({ tenants: { acme: { toString: 5 } } }, /there is no tenants\.acme\.toString/);
});

test('a value that cannot be is named with what it may be', () => {
  const limits = (tenantDefaults: object, message: RegExp): void =>
    refuses({ tenantDefaults }, message);
  limits({ weight: 0 }, /tenantDefaults\.weight is 0; it must be a whole number from 1 to 1000/);
  limits({ weight: 1.5 }, /weight is 1\.5/);
  limits(
    { concurrentJobs: -1 },
    /concurrentJobs is -1; .* whole number from 0, or null for no cap/,
  );
  limits({ jobsPerFiveMinutes: 'many' }, /jobsPerFiveMinutes is "many"/);
  limits({ minutesPerJob: 361 }, /minutesPerJob is 361; it must be a whole number from 1 to 360/);
  limits({ minutesPerJob: null }, /minutesPerJob is null/);
  limits({ overageAllowed: 'no' }, /overageAllowed is "no"; it must be true or false/);
  limits({ egress: 'all' }, /egress is "all"; it must be an egress policy: "all" is none of audit/);
  limits({ egress: ['none'] }, /egress is \["none"\]; it must be an egress policy: it is no text/);
  limits({ repositoryEgress: { app: '' } }, /repositoryEgress\.app is ""; .* it is empty/);
  limits({ repositoryEgress: { 'acme/app': 'none' } }, /repositoryEgress names "acme\/app"/);
  limits({ repositoryEgress: { app: 'none', App: 'audit' } }, /names "app" and "App", which are/);
  limits({ repositoryWeights: { app: 0 } }, /repositoryWeights\.app is 0; it must be a whole/);
  limits({ repositoryWeights: { 'acme/app': 2 } }, /repositoryWeights names "acme\/app"/);
  refuses({ tenants: { 'a/b': {} } }, /tenants names "a\/b"; a name is of letters/);
  refuses({ tenants: ['acme'] }, /tenants is \["acme"\]; it must have named values/);
  refuses({ tenants: { acme: null } }, /tenants\.acme is null; it must have named values/);
  refuses({ globalConcurrency: Number.NaN }, /globalConcurrency is NaN; it must be a whole/);
});

test('a lease shorter than agents need to keep it alive is refused, with both times', () => {
  const LEAST_MS = 35_000;
  refuses({ leaseMs: LEAST_MS - 1 }, new RegExp(`leaseMs is 34999, but .* ${HEARTBEAT_MS} ms`));
  refuses({ leaseMs: 20_000 }, new RegExp(`at least ${LEAST_MS}`));
  assert.equal(complete({ leaseMs: LEAST_MS }).terms.leaseMs, LEAST_MS);
});

test('overage without seats is a contradiction, named with both values', () => {
  refuses(
    { tenants: { acme: { overageAllowed: true } } },
    /tenants\.acme\.overageAllowed is true, but tenants\.acme\.seats is null/,
  );
  const tenants = { acme: { overageAllowed: true } };
  assert.ok(complete({ tenantDefaults: { seats: 1 }, tenants }));
});
