/**
 * Which jobs may run without isolation: those of tenants that the operator trusts, and of them none whose
 * code came from another repository. What is not known to be trusted is refused, before anything of the
 * job is made or read.
 */
import { AgentError } from '../../errors.ts';
import type { JobOrigin } from '../../sandbox/driver.ts';
import type { ProcessSettings } from './config.ts';

/** Throws `job_refused`. */
export function checkTrust(origin: JobOrigin, { trustedTenants = [] }: ProcessSettings): void {
  if (origin.isFromElsewhere) {
    throw refused('its code is of a pull request from another repository', '');
  }
  if (trustedTenants === 'all' || trustedTenants.includes(origin.tenant)) return;
  throw refused(
    `this host does not trust the tenant ${origin.tenant || '(which the control plane did not say)'}`,
    ', or name the tenant in trustedTenants of the settings of this driver (docs/drivers.md)',
  );
}

const refused = (why: string, orTrust: string): AgentError =>
  new AgentError(
    'job_refused',
    `The driver process isolates nothing, and ${why}: the job was not started. ` +
      `Run it with a driver that isolates (--driver auto takes the strongest)${orTrust}.`,
  );
