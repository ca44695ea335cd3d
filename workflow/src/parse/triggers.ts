/**
 * `on:` to triggers. The schema has already said which events and keys there are; here the filters
 * are checked against each other and read.
 */
import { isBoolean, isSequence } from '@actions/workflow-parser/templates/tokens/type-guards';
import type { TemplateToken } from '@actions/workflow-parser/templates/tokens/index';
import type { Json } from '@onejob/protocol';
import { DISPATCH_INPUTS, PATTERN_CHARACTERS } from '../limits.ts';
import { quoted } from '../quote.ts';
import type { CallInput, CallInterface, DispatchInput, PatternFilter, Trigger } from '../model.ts';
import { type Entry, entriesOf, textsOf } from './mapping.ts';
import type { TemplateReader } from './template.ts';

const INPUT_TYPES = ['string', 'boolean', 'number', 'choice', 'environment'] as const;
const CALL_INPUT_TYPES = ['string', 'boolean', 'number'] as const;

function readFilter(
  reader: TemplateReader,
  entries: Map<string, Entry>,
  name: string,
): PatternFilter | null {
  const include = entries.get(name);
  const ignore = entries.get(`${name}-ignore`);
  const entry = include ?? ignore;
  if (entry === undefined) return null;
  const { problems } = reader;
  if (include !== undefined && ignore !== undefined) {
    problems.add(
      problems.at(ignore.key),
      `you may only define one of \`${name}\` and \`${name}-ignore\` for a single event`,
    );
  }
  const patterns = textsOf(entry.value) ?? [];
  if (patterns.some((pattern) => pattern.length > PATTERN_CHARACTERS)) {
    problems.add(problems.at(entry.value), `a pattern is longer than ${PATTERN_CHARACTERS}`);
  }
  if (include !== undefined && patterns.length > 0 && patterns.every((p) => p.startsWith('!'))) {
    problems.add(
      problems.at(entry.value),
      `at least one pattern of \`${name}\` must be without '!'; to exclude only, use \`${name}-ignore\``,
    );
  }
  return { patterns, ignore: include === undefined };
}

function scalar(reader: TemplateReader, entry: Entry | undefined): Json {
  const value = reader.read(entry?.value);
  return typeof value === 'object' ? null : value;
}

function isRequired(keys: Map<string, Entry>): boolean {
  const required = keys.get('required')?.value;
  return required !== undefined && isBoolean(required) && required.value;
}

function readInput(reader: TemplateReader, name: string, entry: Entry): DispatchInput {
  const keys = entriesOf(entry.value);
  const written = String(scalar(reader, keys.get('type')) ?? 'string');
  const type = INPUT_TYPES.find((one) => one === written) ?? 'string';
  const options = keys.get('options');
  const { problems } = reader;
  if (type === 'choice' && (textsOf(options?.value) ?? []).length === 0) {
    problems.add(problems.at(entry.value), "Missing 'options' for choice input");
  } else if (type !== 'choice' && options !== undefined) {
    const message = "Input type is not 'choice', but 'options' is defined";
    problems.add(problems.at(entry.value), message);
  }
  return {
    name,
    at: problems.at(entry.key),
    type,
    required: isRequired(keys),
    default: scalar(reader, keys.get('default')),
    description: String(scalar(reader, keys.get('description')) ?? ''),
    options: textsOf(options?.value) ?? [],
  };
}

function readCallInput(reader: TemplateReader, name: string, entry: Entry): CallInput {
  const keys = entriesOf(entry.value);
  const type = scalar(reader, keys.get('type'));
  const given = keys.get('default')?.value;
  const at = reader.problems.at(entry.key);
  return {
    name,
    at,
    type: CALL_INPUT_TYPES.find((one) => one === type) ?? 'string',
    required: isRequired(keys),
    default: reader.read(given),
    defaultAt: given === undefined ? at : reader.problems.at(given),
  };
}

function readCall(reader: TemplateReader, keys: Map<string, Entry>): CallInterface {
  const of = (name: string) => entriesOf(keys.get(name)?.value);
  const at = (entry: Entry) => reader.problems.at(entry.key);
  return {
    inputs: Array.from(of('inputs'), ([name, entry]) => readCallInput(reader, name, entry)),
    secrets: Array.from(of('secrets'), ([name, entry]) => ({
      name,
      at: at(entry),
      required: isRequired(entriesOf(entry.value)),
    })),
    outputs: Array.from(of('outputs'), ([name, entry]) => ({
      name,
      at: at(entry),
      value: reader.read(entriesOf(entry.value).get('value')?.value),
    })),
  };
}

/** An IANA name ("Events that trigger workflows": `schedule`); no offset, and nothing a host makes up. */
function checkTimezone({ problems }: TemplateReader, entry: Entry | undefined): void {
  if (entry === undefined) return;
  const name = entry.value.toString();
  if (/^[A-Za-z]/.test(name) && isTimezone(name)) return;
  problems.add(
    problems.at(entry.value),
    `'${quoted(name)}' is no time zone: write an IANA name, such as 'Europe/Berlin'`,
  );
}

function isTimezone(name: string): boolean {
  try {
    return new Intl.DateTimeFormat('en', { timeZone: name }).resolvedOptions().timeZone !== '';
  } catch {
    return false;
  }
}

function readSchedules(reader: TemplateReader, token: TemplateToken): Trigger['schedules'] {
  if (!isSequence(token)) return [];
  return Array.from(token, (item) => {
    const keys = entriesOf(item);
    const timezone = scalar(reader, keys.get('timezone'));
    checkTimezone(reader, keys.get('timezone'));
    return {
      cron: String(scalar(reader, keys.get('cron')) ?? ''),
      timezone: timezone === null ? null : String(timezone),
      at: reader.problems.at(item),
    };
  });
}

function checkInputCount({ problems }: TemplateReader, inputs: Map<string, Entry>): void {
  const tooMany = [...inputs.values()][DISPATCH_INPUTS];
  if (tooMany === undefined) return;
  const message = `you may only define up to ${DISPATCH_INPUTS} \`inputs\` for a \`workflow_dispatch\` event`;
  problems.add(problems.at(tooMany.key), message);
}

function readTrigger(
  reader: TemplateReader,
  key: TemplateToken,
  event: string,
  value: TemplateToken | undefined,
): Trigger {
  const entries = entriesOf(value);
  const dispatched = event === 'workflow_dispatch' ? entries.get('inputs')?.value : undefined;
  const inputs = entriesOf(dispatched);
  checkInputCount(reader, inputs);
  return {
    event,
    at: reader.problems.at(key),
    types: textsOf(entries.get('types')?.value),
    branches: readFilter(reader, entries, 'branches'),
    tags: readFilter(reader, entries, 'tags'),
    paths: readFilter(reader, entries, 'paths'),
    workflows: textsOf(entries.get('workflows')?.value),
    schedules: event === 'schedule' && value !== undefined ? readSchedules(reader, value) : [],
    inputs: Array.from(inputs, ([name, entry]) => readInput(reader, name, entry)),
    call: event === 'workflow_call' ? readCall(reader, entries) : null,
  };
}

/** `push`, `[push, pull_request]`, or a mapping of events to filters. */
export function readTriggers(reader: TemplateReader, on: TemplateToken | undefined): Trigger[] {
  if (on === undefined) return [];
  if (isSequence(on)) {
    return Array.from(on, (item) => readTrigger(reader, item, item.toString(), undefined));
  }
  if (on.isScalar) return [readTrigger(reader, on, on.toString(), undefined)];
  return Array.from(entriesOf(on), ([event, { key, value }]) =>
    readTrigger(reader, key, event, value),
  );
}
