/**
 * What a workflow says that is read, checked and then not applied, or not as it says: it runs all the
 * same, and whoever runs it is told with the place. What cannot run at all is refused when it is planned.
 */
import { hasCronIntervalLessThan5Minutes } from '@actions/workflow-parser/model/converter/cron';
import type { Problem } from '@onejob/protocol';
import type { Workflow } from '../model.ts';
import { listed } from './problems.ts';

const notApplied = (key: string, meaning: string): string =>
  `onejob reads \`${key}\` but does not apply it yet: ${meaning}`;

const OF_JOBS: ReadonlyMap<string, string> = new Map([
  [
    'environment',
    notApplied('environment', 'it is shown, but has no protection rules and no secrets of its own'),
  ],
  [
    'cancel-timeout-minutes',
    notApplied(
      'cancel-timeout-minutes',
      'what is due after a cancellation has five minutes, as by default',
    ),
  ],
]);
const OF_EVENTS: ReadonlyMap<string, string> = new Map([
  [
    'schedule',
    notApplied('schedule', 'nothing starts at these times; as one of them: onejob run -e schedule'),
  ],
  [
    'image_version',
    notApplied(
      'image_version',
      'no images are made here, so that none starts it; `names` and `versions` are not looked at',
    ),
  ],
]);
const OFTEN = 'GitHub starts a schedule every five minutes at most';

/** In the order of the file, at most ten and a last one that counts the rest. */
export function warningsOf(workflow: Workflow): Problem[] {
  const { file } = workflow;
  const warnings: Problem[] = [];
  for (const { event, at, schedules } of workflow.triggers) {
    const message = OF_EVENTS.get(event);
    if (message !== undefined) warnings.push({ file, ...at, message });
    for (const { cron, at: place } of schedules) {
      if (hasCronIntervalLessThan5Minutes(cron)) warnings.push({ file, ...place, message: OFTEN });
    }
  }
  for (const { places } of workflow.jobs) {
    for (const [key, message] of OF_JOBS) {
      const at = places[key];
      if (at !== undefined) warnings.push({ file, ...at, message });
    }
  }
  return listed(warnings);
}
