/**
 * The `env` context where a job has no machine yet: in its `if`, `container` and `services`, for the
 * dialects that have it there. GitHub's has not, and its parser refuses what would read it.
 *
 * A variable is evaluated when it is read: one that needs a secret, or the runner, is no trouble to a
 * condition that does not look at it, and never passes for an empty one.
 */
import type { ExprNode, Json, JsonObject, Template } from '@onejob/protocol';
import {
  evaluateTemplate,
  EvaluationError,
  type EvaluationScope,
  toText,
} from '../evaluate/index.ts';
import { isObject } from '../evaluate/values.ts';
import type { PlannedJob } from '../model.ts';
import { readsContext } from '../some-node.ts';
import type { PlanScope } from './scope.ts';

/** The scope with the variables of workflow and job, where the template reads any. */
export function withEnvironment<Scope extends EvaluationScope>(
  template: Template | { expr: ExprNode },
  sees: Scope,
  job: Pick<PlannedJob, 'env'>,
  { workflowEnv = null }: Pick<PlanScope, 'workflowEnv'>,
): Scope {
  if (!readsContext(template, 'env')) return sees;
  const env: JsonObject = {};
  for (const layer of [workflowEnv, job.env]) addLayer(env, layer, sees);
  return { ...sees, contexts: { ...sees.contexts, env } };
}

/** A layer does not see `env`: as Forgejo's reference says of what stands below one key. */
function addLayer(env: JsonObject, layer: Template, sees: EvaluationScope): void {
  if (layer === null || typeof layer !== 'object') return;
  if (!('map' in layer)) return addComputed(env, layer, sees);
  for (const entry of layer.map) {
    if ('insert' in entry) addComputed(env, entry.insert, sees);
    else if (typeof entry.key === 'string') {
      define(env, entry.key, () => toText(evaluateTemplate(entry.value, sees)));
    } else addComputed(env, { map: [entry] }, sees);
  }
}

/** Variables whose names an expression makes: they are all known, or reading any of them fails. */
function addComputed(env: JsonObject, template: Template, sees: EvaluationScope): void {
  const variables = evaluateTemplate(template, sees);
  if (!isObject(variables)) {
    throw new EvaluationError('invalid_template', 'what `env` evaluates to must be a mapping');
  }
  for (const [name, value] of Object.entries(variables)) define(env, name, () => toText(value));
}

function define(env: JsonObject, name: string, get: () => Json): void {
  Object.defineProperty(env, name, { get, enumerable: true, configurable: true });
}
