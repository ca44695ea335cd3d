/**
 * `unknown-name`: an expression reads something that cannot be there: a step that has no such id or
 * comes later, a job that is not needed, an output, input or matrix key that nobody declares, a
 * property that a context does not have. GitHub reads all of these as empty, without a word.
 */
import type { PlannedJob, Workflow } from '../../model.ts';
import { type Access, accessesOf, accessText } from '../access.ts';
import { FIXED, NEED_PROPERTIES, STEP_PROPERTIES } from '../contexts.ts';
import { fold, hasTrigger, inputsOf, keysOf, matrixKeys, stepIds } from '../declared.ts';
import type { Rule } from '../finding.ts';
import type { Site } from '../sites.ts';

/** Names in a message: enough to find one's own. */
const NAMED = 20;

export const unknownName: Rule = {
  name: 'unknown-name',
  check: ({ workflow, sites }) =>
    sites.flatMap((site) =>
      accessesOf(site.expr).flatMap((access) => {
        const why = whyUnknown(workflow, site, access);
        if (why === undefined) return [];
        const message = `\`${accessText(access)}\` is always empty: ${why}`;
        return [{ at: site.at, severity: 'error' as const, message }];
      }),
    ),
};

const has = (names: readonly string[], name: string): boolean =>
  names.some((one) => fold(one) === fold(name));

function there(names: readonly string[]): string {
  if (names.length === 0) return 'there are none';
  const more = names.length - NAMED;
  return `there are: ${names.slice(0, NAMED).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** Undefined: it may be there. */
function whyUnknown(workflow: Workflow, site: Site, access: Access): string | undefined {
  const [name, property, inner] = access.path;
  if (name === undefined || name === null) return undefined;
  const { job } = site;
  switch (access.root) {
    case 'steps':
      return job === null ? undefined : whyNoStep(job, site, name, property);
    case 'needs':
      return job === null ? undefined : whyNoNeed(workflow, job, [name, property, inner]);
    case 'matrix':
      return job === null ? undefined : whyNoMatrixKey(job, name);
    case 'inputs':
      return whyNoInput(workflow, name);
    case 'jobs':
      return has(
        workflow.jobs.map(({ key }) => key),
        name,
      )
        ? undefined
        : `no job has the key '${name}'; ${there(workflow.jobs.map(({ key }) => key))}`;
    default:
      return whyNoProperty(workflow, access.root, access.path);
  }
}

function whyNoStep(
  job: PlannedJob,
  site: Site,
  id: string,
  property: string | null | undefined,
): string | undefined {
  const ids = stepIds(job);
  const found = ids.find((step) => fold(step.id) === fold(id));
  // Outputs of a job, and its environment, are read when its steps are done.
  const before = site.step?.index ?? Infinity;
  const known = ids.filter((step) => step.index < before).map((step) => step.id);
  if (found === undefined) return `no step of job '${job.key}' has the id '${id}'; ${there(known)}`;
  if (found.index === before) return `the step '${id}' is this one and has not run yet`;
  if (found.index > before) return `the step '${id}' comes later, in line ${found.line}`;
  return noProperty(property, STEP_PROPERTIES, 'a step');
}

function noProperty(
  property: string | null | undefined,
  known: readonly string[],
  whose: string,
): string | undefined {
  if (property === undefined || property === null || has(known, property)) return undefined;
  return `${whose} has no '${property}'; ${there(known)}`;
}

function whyNoNeed(
  workflow: Workflow,
  job: PlannedJob,
  [key, property, output]: readonly [string, string | null | undefined, string | null | undefined],
): string | undefined {
  if (!has(job.needs, key)) {
    const exists = has(
      workflow.jobs.map((one) => one.key),
      key,
    );
    return exists
      ? `job '${job.key}' does not need '${key}'; add it to its \`needs\``
      : `no job has the key '${key}'; '${job.key}' needs: ${job.needs.join(', ') || 'none'}`;
  }
  const missing = noProperty(property, NEED_PROPERTIES, 'a needed job');
  if (missing !== undefined) return missing;
  const needed = workflow.jobs.find((one) => fold(one.key) === fold(key));
  if (fold(property ?? '') !== 'outputs' || typeof output !== 'string') return undefined;
  // A called workflow declares its outputs in its own file.
  const outputs = needed === undefined || needed.call !== null ? null : keysOf(needed.outputs);
  if (outputs === null || has(outputs, output)) return undefined;
  return `job '${key}' declares no output '${output}'; ${there(outputs)}`;
}

function whyNoMatrixKey(job: PlannedJob, name: string): string | undefined {
  const keys = matrixKeys(job);
  if (keys === null || has(keys, name)) return undefined;
  return `the matrix of job '${job.key}' has no key '${name}'; ${there([...new Set(keys)])}`;
}

function whyNoInput(workflow: Workflow, name: string): string | undefined {
  const inputs = inputsOf(workflow).map((input) => input.name);
  if (has(inputs, name)) return undefined;
  return `the workflow declares no input '${name}'; ${there(inputs)}`;
}

function whyNoProperty(
  workflow: Workflow,
  root: string,
  path: readonly (string | null)[],
): string | undefined {
  const [name, second, third] = path;
  const known = FIXED.get(root);
  if (known === undefined || typeof name !== 'string') return undefined;
  if (!known.has(fold(name))) return `the context \`${root}\` has no '${name}'`;
  const isInput = root === 'github' && fold(name) === 'event' && fold(second ?? '') === 'inputs';
  // A called workflow sees the event of its caller.
  if (!isInput || typeof third !== 'string' || hasTrigger(workflow, 'workflow_call')) {
    return undefined;
  }
  const inputs = workflow.triggers.flatMap((trigger) => trigger.inputs.map((input) => input.name));
  return has(inputs, third)
    ? undefined
    : `\`workflow_dispatch\` declares no input '${third}'; ${there(inputs)}`;
}
