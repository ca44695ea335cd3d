/** The inputs of an action: what its step gives, and the defaults of its metadata file. */
import { evaluateTemplate, toText } from '@onejob/workflow/evaluate';
import type { UsesStep } from '@onejob/protocol';
import type { ActionManifest } from '@onejob/workflow/parse-action';
import { toTexts } from '../job/job-state.ts';
import { record } from '../job/record.ts';
import type { StepRun } from '../steps/step-run.ts';

/** What defaults may name: no `inputs`, no `env`, no `secrets`. */
const DEFAULT_CONTEXTS = ['github', 'strategy', 'matrix', 'job', 'runner'];

const quotedList = (names: readonly string[]): string => `'${names.join("', '")}'`;

/** What is given and deprecated, or given and unknown, is a warning, as on GitHub. */
export function warnOfInputs(
  run: StepRun,
  given: readonly string[],
  inputs: readonly { name: string; deprecation?: string | null | undefined }[],
): void {
  const known = new Map(inputs.map((input) => [input.name.toLowerCase(), input]));
  for (const name of given) {
    const deprecation = known.get(name.toLowerCase())?.deprecation;
    if (!deprecation) continue;
    run.warning(`Input '${name}' has been deprecated with message: ${deprecation}`);
  }
  const unexpected = given.filter((name) => !known.has(name.toLowerCase()));
  if (unexpected.length === 0) return;
  const valid = inputs.map((input) => input.name);
  run.warning(
    `Unexpected input(s) ${quotedList(unexpected)}, valid inputs are [${quotedList(valid)}]`,
  );
}

/**
 * By name as written where it is given, else as the metadata file writes it.
 * @param warns false: this is not the first time they are read
 * @throws EvaluationError
 */
export function readInputs(
  run: StepRun,
  step: UsesStep,
  manifest: ActionManifest,
  warns: boolean,
): Record<string, string> {
  const { scope } = run;
  const inputs = toTexts(evaluateTemplate(step.with, scope));
  const names = Object.keys(inputs);
  if (warns) warnOfInputs(run, names, manifest.inputs);
  const given = new Set(names.map((name) => name.toLowerCase()));
  const contexts = Object.fromEntries(
    DEFAULT_CONTEXTS.map((name) => [name, scope.contexts[name] ?? {}]),
  );
  for (const { name, default: otherwise } of manifest.inputs) {
    if (given.has(name.toLowerCase())) continue;
    const value = evaluateTemplate(otherwise, { ...scope, contexts });
    inputs[name] = toText(value);
  }
  return inputs;
}

/** As JavaScript actions read them: `INPUT_NAME_WITH_SPACES`. */
export function inputVariables(inputs: Record<string, string>): Record<string, string> {
  const variables = record<string>();
  for (const [name, value] of Object.entries(inputs)) {
    variables[`INPUT_${name.replaceAll(' ', '_').toUpperCase()}`] = value;
  }
  return variables;
}
