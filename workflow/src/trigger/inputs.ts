/** Inputs of `workflow_dispatch`: what was given, checked and coerced, and defaults for the rest. */
import type { Json, JsonObject, Problem } from '@onejob/protocol';
import { foldCase, setKey, toText } from '../evaluate/values.ts';
import { DISPATCH_PAYLOAD_CHARACTERS } from '../limits.ts';
import type { DispatchInput, Workflow } from '../model.ts';
import { quoted } from '../quote.ts';

/** The value of a given text; undefined: it is none of that type. */
function coerce(input: DispatchInput, text: string): Json | undefined {
  switch (input.type) {
    case 'boolean':
      return text === 'true' ? true : text === 'false' ? false : undefined;
    case 'number': {
      const number = Number(text);
      return text.trim() !== '' && Number.isFinite(number) ? number : undefined;
    }
    case 'choice':
      return input.options.includes(text) ? text : undefined;
    default:
      return text;
  }
}

/** What an input is worth when nobody gives it: GitHub's `inputs` then holds the type's empty value. */
function fallback(input: DispatchInput): Json {
  if (input.default !== null) {
    const text = toText(input.default);
    const value = coerce(input, text);
    if (value !== undefined) return value;
    // A default need not be of the type: what is no choice is given as it is written.
    if (input.type !== 'boolean' && input.type !== 'number') return text;
  }
  if (input.type === 'boolean') return false;
  if (input.type === 'number') return 0;
  return input.type === 'choice' ? (input.options[0] ?? '') : '';
}

function expected(input: DispatchInput): string {
  if (input.type === 'choice') return `one of ${input.options.map((o) => `'${o}'`).join(', ')}`;
  return input.type === 'boolean' ? 'true or false' : `a ${input.type}`;
}

/**
 * @param given as texts, from a form or a command line; names are found without case
 * @returns the `inputs` context, by the names the workflow declares
 */
export function dispatchInputs(
  workflow: Workflow,
  given: Record<string, string>,
): { ok: true; inputs: JsonObject } | { ok: false; problems: Problem[] } {
  const { file, triggers } = workflow;
  const trigger = triggers.find((one) => one.event === 'workflow_dispatch');
  const at = trigger?.at ?? { line: 1, column: 1 };
  const characters = JSON.stringify(given).length;
  if (characters > DISPATCH_PAYLOAD_CHARACTERS) {
    const message = `The inputs have ${characters} characters as JSON; a \`workflow_dispatch\` takes at most ${DISPATCH_PAYLOAD_CHARACTERS}. Put what is large into a file of the repository`;
    return { ok: false, problems: [{ file, ...at, message }] };
  }
  const rest = new Map(
    Object.entries(given).map(([name, text]) => [foldCase(name), { name, text }]),
  );
  const inputs: JsonObject = {};
  const problems: Problem[] = [];
  for (const input of trigger?.inputs ?? []) {
    const problem = (message: string) => problems.push({ file, ...input.at, message });
    const value = rest.get(foldCase(input.name));
    rest.delete(foldCase(input.name));
    if (value === undefined) {
      if (input.required && input.default === null) {
        problem(`Required input '${input.name}' not provided`);
      }
      setKey(inputs, input.name, fallback(input));
      continue;
    }
    const coerced = coerce(input, value.text);
    if (coerced === undefined) {
      problem(`Input '${input.name}' must be ${expected(input)}, not '${quoted(value.text)}'`);
    } else {
      setKey(inputs, input.name, coerced);
    }
  }
  const names = (trigger?.inputs ?? []).map((input) => `'${input.name}'`).join(', ');
  const known = names === '' ? 'takes no inputs' : `takes ${names}`;
  for (const { name } of rest.values()) {
    const message = `Unexpected input '${quoted(name)}': the workflow ${known}`;
    problems.push({ file, ...at, message });
  }
  return problems.length > 0 ? { ok: false, problems } : { ok: true, inputs };
}
