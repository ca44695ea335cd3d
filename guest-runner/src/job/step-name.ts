/** What people see of a step. */
import { evaluateTemplate, toText } from '@onejob/workflow/evaluate';
import { scriptTitle } from '../steps/run-script.ts';
import type { StepRun } from '../steps/step-run.ts';

export function nameOf(run: StepRun): string {
  const { quietScope: scope, step } = run;
  try {
    if (step.name !== null) return toText(evaluateTemplate(step.name, scope));
    if (step.kind === 'uses') return `Run ${step.uses}`;
    return scriptTitle(toText(evaluateTemplate(step.script, scope)));
  } catch {
    // The same expression fails again, and is told, when it is needed.
    return step.kind === 'uses' ? `Run ${step.uses}` : step.id;
  }
}
