/**
 * What people call a run: `run-name`, and where that is missing or empty what its event says.
 *
 * Source: `run-name` of GitHub's workflow syntax: the title of the pushed commit, the title of the
 * pull request; what has no title is called by its workflow.
 */
import type { Json } from '@onejob/protocol';
import { PlanError } from '../error.ts';
import { evaluateTemplate, EvaluationError, toText } from '../evaluate/index.ts';
import { isObject, isPrimitive } from '../evaluate/values.ts';
import { RUN_NAME_CHARACTERS } from '../limits.ts';
import type { Workflow } from '../model.ts';
import { evaluationScope, type PlanScope } from './scope.ts';

/**
 * On one line, and not longer than a line is read.
 * @throws PlanError where `run-name` cannot be evaluated, or is no text
 */
export function runName(workflow: Workflow, scope: Omit<PlanScope, 'needs'>): string {
  const candidates = [written(workflow, scope), titleOf(scope.github), workflow.name];
  const name = candidates.map(onOneLine).find((one) => one !== '') ?? workflow.file;
  const characters = Array.from(name);
  if (characters.length <= RUN_NAME_CHARACTERS) return name;
  return `${characters.slice(0, RUN_NAME_CHARACTERS - 3).join('')}...`;
}

function written(workflow: Workflow, scope: Omit<PlanScope, 'needs'>): string {
  const { runName: template, file } = workflow;
  const fail = (message: string, at = { line: 1, column: 1 }): never => {
    const sentence = `Error when evaluating 'run-name'. ${message}`;
    throw new PlanError([{ file, ...at, message: sentence }]);
  };
  try {
    const value = evaluateTemplate(template, evaluationScope({ ...scope, needs: {} }));
    if (isPrimitive(value)) return toText(value);
  } catch (error) {
    if (error instanceof EvaluationError) return fail(error.message, error.at);
    throw error;
  }
  const at =
    template !== null && typeof template === 'object' && 'at' in template ? template.at : undefined;
  return fail('A text was expected', at);
}

/** Of what happened; empty where it has none. */
function titleOf(github: PlanScope['github']): string {
  const event = github['event'] ?? null;
  switch (github['event_name']) {
    case 'push':
      // The first line, as of every commit message.
      return textAt(event, 'head_commit', 'message').trimStart().split('\n')[0] ?? '';
    case 'pull_request':
    case 'pull_request_target':
      return textAt(event, 'pull_request', 'title');
    default:
      return '';
  }
}

function textAt(value: Json, ...path: string[]): string {
  let at: Json | undefined = value;
  for (const key of path) {
    at =
      isObject(at ?? null) && Object.hasOwn(at as object, key)
        ? (at as Record<string, Json>)[key]
        : null;
  }
  return typeof at === 'string' ? at : '';
}

const onOneLine = (text: string): string => text.replaceAll(/\s+/g, ' ').trim();
