/** The run that a request names. */
import { isUuid, type Run } from '@onejob/protocol';
import { ControlPlaneError } from '../errors.ts';
import { viewRuns } from '../runs/run-view.ts';
import { required } from '../store/store.ts';
import type { ApiParts } from './api-parts.ts';

/** As its last attempt is now. */
export async function viewRun(parts: ApiParts, runId: string): Promise<Run> {
  const [run] = await viewRuns(parts.store, [runId]);
  return required(run, `run ${runId}`);
}

/** A run by its id, or by its number where that is enough to tell it from others. */
export async function findRun(parts: ApiParts, name: string, repository?: string): Promise<string> {
  const isNumber = /^[1-9][0-9]{0,14}$/.test(name);
  if (!isNumber && !isUuid(name)) {
    throw new ControlPlaneError('not_found', `"${name}" is no id and no number of a run.`);
  }
  let query = parts.store.db.selectFrom('runs').select(['id', 'repository']);
  query = isNumber ? query.where('number', '=', Number(name)) : query.where('id', '=', name);
  if (repository !== undefined) query = query.where('repository', '=', repository);
  const found = await query.orderBy('id').limit(10).execute();
  if (found.length > 1) {
    const names = found.map((run) => run.repository).join(', ');
    throw new ControlPlaneError(
      'ambiguous_run',
      `There is a run ${name} of each of ${names}. Add ?repository=, or use the run's id.`,
    );
  }
  return required(found[0], `run ${name}`).id;
}
