/** A leg of a job as the guest runner gets it: typed steps, nothing left to parse. */
import type { CompiledJob, Permissions } from '@onejob/protocol';
import { explicitPermissions, permissionsOf } from '../call/permissions.ts';
import type { PlannedJob, Workflow } from '../model.ts';
import { entryOf } from '../template-entry.ts';
import type { JobLeg } from './legs.ts';

const hasDefaults = ({ defaults }: PlannedJob): boolean =>
  defaults.shell !== null || defaults.workingDirectory !== null;

/**
 * A job with `defaults.run` of its own has nothing of the workflow's: the runner keeps one mapping, the
 * last (JobExtension.cs of actions/runner).
 * @param permissions of a job of a called workflow, which may have its caller's
 */
export function compileJob(
  workflow: Workflow,
  job: PlannedJob,
  leg: JobLeg,
  permissions: Permissions = permissionsOf(explicitPermissions(workflow, job)),
): CompiledJob {
  return {
    version: 1,
    file: workflow.file,
    key: job.key,
    name: leg.name,
    steps: job.steps,
    env: [workflow.env, job.env].filter((env) => env !== null),
    defaults: hasDefaults(job) ? job.defaults : workflow.defaults,
    outputs: job.outputs,
    permissions,
    environment:
      leg.environment === null
        ? null
        : { name: leg.environment, url: entryOf(job.environment, 'url') ?? null },
    timeoutMinutes: job.timeoutMinutes,
    continueOnError: leg.continueOnError,
    container: leg.containers.job === null ? null : job.container,
    services: leg.containers.services.length === 0 ? null : job.services,
  };
}
