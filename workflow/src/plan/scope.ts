/** What is known when a job is planned, as the contexts of its expressions. */
import type { Json, JsonObject, NeedsContext } from '@onejob/protocol';

export type PlanScope = {
  github: JsonObject;
  needs: NeedsContext;
  vars: Record<string, string>;
  inputs: JsonObject;
};

export function contextsOf(scope: PlanScope): Record<string, Json> {
  return { github: scope.github, needs: scope.needs, vars: scope.vars, inputs: scope.inputs };
}
