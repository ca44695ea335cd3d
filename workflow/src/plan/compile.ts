/** A leg of a job as the guest runner gets it: typed steps, nothing left to parse. */
import type { CompiledJob, Template } from '@onejob/protocol';
import type { PlannedJob, Workflow } from '../model.ts';
import type { JobLeg } from './legs.ts';

const orElse = (own: Template, outer: Template): Template => own ?? outer;

/** The job's own defaults win over the workflow's, key by key. */
export function compileJob(workflow: Workflow, job: PlannedJob, leg: JobLeg): CompiledJob {
  return {
    version: 1,
    file: workflow.file,
    key: job.key,
    name: leg.name,
    steps: job.steps,
    env: [workflow.env, job.env].filter((env) => env !== null),
    defaults: {
      shell: orElse(job.defaults.shell, workflow.defaults.shell),
      workingDirectory: orElse(job.defaults.workingDirectory, workflow.defaults.workingDirectory),
    },
    outputs: job.outputs,
    timeoutMinutes: job.timeoutMinutes,
    continueOnError: leg.continueOnError,
    container: job.container,
    services: job.services,
  };
}
