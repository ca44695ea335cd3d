/** The payload of an event as one workflow's run has it. */
import { scheduleOf, type Workflow } from '@onejob/workflow';
import type { CreateRun } from '@onejob/protocol';

/**
 * `github.event.schedule` is the schedule that started the run ("Events that trigger workflows" of
 * GitHub's documentation): where the request names none, the workflow's first.
 */
export function payloadFor(workflow: Workflow, event: CreateRun['event']): Record<string, unknown> {
  const schedule = event.name === 'schedule' ? scheduleOf(workflow) : undefined;
  return schedule === undefined ? event.payload : { schedule, ...event.payload };
}
