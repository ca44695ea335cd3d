/**
 * The outputs of a job, evaluated when its steps are done, whether they succeeded or not. What holds a
 * secret, is empty or is too much is left out, with GitHub's sentences.
 */
import { evaluateTemplate } from '@onejob/workflow/evaluate';
import { OUTPUT_BYTES_PER_JOB } from '@onejob/protocol/limits';
import type { JobLog } from './job-log.ts';
import { explainEvaluation, type JobState, toTexts } from './job-state.ts';
import { record } from './record.ts';

const JOB_PLACE = { line: 1, column: 1 };

function evaluate(job: JobState, log: JobLog): Record<string, string> {
  const { file, outputs } = job.parts.task.job;
  try {
    return toTexts(evaluateTemplate(outputs, { ...job.scope(job.env), ...log.trace }));
  } catch (error) {
    const message = explainEvaluation(error, file, JOB_PLACE);
    log.error('Fail to evaluate job outputs');
    log.error(message);
    job.root.fail({ reason: 'invalid_expression', message });
    return {};
  }
}

/** An error in one fails the job. */
export function readOutputs(job: JobState, log: JobLog): Record<string, string> {
  const outputs: Record<string, string> = record();
  if (job.parts.task.job.outputs === null) return outputs;
  log.line('Evaluate and set job outputs');
  let bytes = 0;
  for (const [name, value] of Object.entries(evaluate(job, log))) {
    if (value === '') {
      log.debug(`Skip output '${name}' since it's empty`);
      continue;
    }
    bytes += name.length + Buffer.byteLength(value);
    if (job.parts.masker.containsSecret(value)) {
      log.warning(`Skip output '${name}' since it may contain secret.`);
    } else if (bytes > OUTPUT_BYTES_PER_JOB) {
      log.warning(
        `Skip output '${name}': a job's outputs are at most ${OUTPUT_BYTES_PER_JOB} bytes.`,
      );
    } else {
      log.line(`Set output '${name}'`);
      outputs[name] = value;
    }
  }
  return outputs;
}
