import assert from 'node:assert/strict';
import { test } from 'node:test';
import { checkTrust } from './trust.ts';

const own = (tenant: string) => ({ tenant, isFromElsewhere: false });

test('only tenants that are named are trusted, and without settings nobody is', () => {
  const settings = { trustedTenants: ['acme'] };
  checkTrust(own('acme'), settings);
  checkTrust(own('anybody'), { trustedTenants: 'all' });
  for (const tenant of ['other', 'Acme', 'acme2', '']) {
    const refusal = {
      code: 'job_refused',
      message:
        /does not trust the tenant .*: the job was not started\. .*--driver auto.*trustedTenants/,
    };
    assert.throws(() => checkTrust(own(tenant), settings), refusal);
    assert.throws(() => checkTrust(own(tenant), {}), refusal);
  }
});

test('code from elsewhere is trusted for nobody', () => {
  for (const settings of [{}, { trustedTenants: ['acme'] }, { trustedTenants: 'all' as const }]) {
    assert.throws(() => checkTrust({ tenant: 'acme', isFromElsewhere: true }, settings), {
      code: 'job_refused',
      message: /pull request from another repository: the job was not started\. .*--driver auto/,
    });
  }
});
