/**
 * The address of the environment a job deploys to, evaluated when its steps are done. It may read
 * their outputs; one that holds a secret is not handed on, as GitHub's runner does it.
 */
import { ENVIRONMENT_URL_CHARACTERS } from '@onejob/protocol/limits';
import { evaluateTemplate, toText } from '@onejob/workflow/evaluate';
import type { JobLog } from './job-log.ts';
import { explainEvaluation, type JobState } from './job-state.ts';

const JOB_PLACE = { line: 1, column: 1 };

/** Sends the address to the agent; an error in it fails the job. */
export function reportEnvironmentUrl(job: JobState, log: JobLog): void {
  const { task, masker, host } = job.parts;
  const { environment, file } = task.job;
  if (environment === null || environment.url === null) return;
  log.line('Evaluate and set environment url');
  let url: string;
  try {
    url = toText(evaluateTemplate(environment.url, { ...job.scope(job.env), ...log.trace }));
  } catch (error) {
    const message = explainEvaluation(error, file, JOB_PLACE);
    log.error('Failed to evaluate environment url');
    log.error(message);
    job.root.fail({ reason: 'invalid_expression', message });
    return;
  }
  const skip = `Skip setting environment url as environment '${environment.name}'`;
  if (masker.containsSecret(url)) return log.warning(`${skip} may contain secret.`);
  if (url.length > ENVIRONMENT_URL_CHARACTERS) {
    return log.warning(`${skip}: it is longer than ${ENVIRONMENT_URL_CHARACTERS} characters.`);
  }
  log.line(`Evaluated environment url: ${url}`);
  host.send({ type: 'environment', url });
}
