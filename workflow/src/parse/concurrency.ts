/** What of `concurrency` is wrong as it is written; what expressions make of it is known later. */
import { convertConcurrency } from '@actions/workflow-parser/model/converter/concurrency';
import { handleTemplateTokenErrors } from '@actions/workflow-parser/model/converter/handle-errors';
import { isBoolean, isString } from '@actions/workflow-parser/templates/tokens/type-guards';
import type { TemplateToken } from '@actions/workflow-parser/templates/tokens/index';
import { CONCURRENCY_GROUP_CHARACTERS } from '../limits.ts';
import { EMPTY_GROUP, LONG_GROUP, QUEUE_AND_CANCEL } from '../plan/concurrency.ts';
import { entriesOf } from './mapping.ts';
import type { Problems } from './problems.ts';

/** @param concurrency of the workflow or of a job */
export function checkConcurrency(problems: Problems, concurrency: TemplateToken | undefined): void {
  if (concurrency === undefined) return;
  handleTemplateTokenErrors(concurrency, problems, {}, () =>
    convertConcurrency(problems, concurrency),
  );
  const keys = entriesOf(concurrency);
  const group = keys.get('group')?.value ?? concurrency;
  if (isString(group)) {
    if (group.value === '') problems.add(problems.at(group), EMPTY_GROUP);
    if (group.value.length > CONCURRENCY_GROUP_CHARACTERS) {
      problems.add(problems.at(group), LONG_GROUP);
    }
  }
  const queue = keys.get('queue')?.value;
  const cancel = keys.get('cancel-in-progress')?.value;
  if (queue === undefined || cancel === undefined) return;
  if (isString(queue) && queue.value === 'max' && isBoolean(cancel) && cancel.value) {
    problems.add(problems.at(queue), QUEUE_AND_CANCEL);
  }
}
