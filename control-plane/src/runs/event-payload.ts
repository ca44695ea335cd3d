/** The payload of an event as one workflow's run has it. */
import { scheduleOf, toText, type Workflow } from '@onejob/workflow';
import type { CreateRun, JsonObject } from '@onejob/protocol';

/**
 * `github.event.inputs` has every input of a dispatch, also those that nobody gave, as text (`inputs`
 * has the same with their types). `github.event.schedule` is the schedule that started the run ("Events that trigger workflows" of
 * GitHub's documentation): where the request names none, the workflow's first.
 */
export function payloadFor(
  workflow: Workflow,
  event: CreateRun['event'],
  inputs: JsonObject,
): Record<string, unknown> {
  if (event.name === 'workflow_dispatch') {
    const texts = Object.entries(inputs).map(([name, value]) => [name, toText(value)]);
    return { ...event.payload, inputs: Object.fromEntries(texts) };
  }
  const schedule = event.name === 'schedule' ? scheduleOf(workflow) : undefined;
  return schedule === undefined ? event.payload : { schedule, ...event.payload };
}
