/** Ends a call whose jobs have all ended: with their result, and the outputs the workflow maps. */
import { calledBy, callOutputs, type CalledWorkflows } from '@onejob/workflow';
import { type EndReason, OUTPUT_BYTES_PER_JOB } from '@onejob/protocol';
import { storable } from '../store/storable.ts';
import type { Tx } from '../store/store.ts';
import { endJob, type JobRow } from '../store/transition-job.ts';
import { scopeOfLeg } from './job-keys.ts';
import { isPlanningError } from './release-job.ts';
import { combinedResult, githubContext, needsContext } from './run-contexts.ts';
import { legOf, type RunState } from './run-state.ts';

export async function closeCall(tx: Tx, state: RunState, row: JobRow): Promise<void> {
  const end = async (reason: EndReason, message: string, outputs?: Record<string, string>) => {
    const given = outputs === undefined ? {} : { outputs };
    await endJob(tx, row, { reason, message, totalRows: 0, logGraceMs: 0, ...given });
  };
  const result = combinedResult(state.jobsOf(scopeOfLeg(row.key, legOf(row))));
  try {
    const outputs = outputsOf(state, row);
    switch (result) {
      case 'success':
        return await end('steps_completed', '', outputs);
      case 'failure':
        return await end('step_failed', 'A job of the called workflow failed.', outputs);
      case 'cancelled':
        return await end(row.cancel_reason ?? 'cancelled', 'The called workflow was cancelled.');
      case 'skipped':
        return await end('condition_false', 'Every job of the called workflow was skipped.');
    }
  } catch (error) {
    if (!isPlanningError(error)) throw error;
    await end('invalid_expression', error.message);
  }
}

function outputsOf(state: RunState, row: JobRow): Record<string, string> {
  const { run } = state;
  const place = state.place(row.key);
  const target =
    place === undefined ? undefined : calledBy(place.job, run.called_workflows as CalledWorkflows);
  if (target === undefined) return {};
  const scope = scopeOfLeg(row.key, legOf(row));
  const ids = target.workflow.jobs.map((job) => job.key);
  const values = callOutputs(target.workflow, {
    budget: state.budget,
    github: githubContext(run),
    inputs: state.inputs(scope),
    vars: run.vars,
    jobs: needsContext(scope, ids, state.byKey),
  });
  const outputs: Record<string, string> = {};
  let bytes = 0;
  for (const [name, value] of Object.entries(values)) {
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
    if (bytes <= OUTPUT_BYTES_PER_JOB) outputs[name] = storable(value);
  }
  return outputs;
}
