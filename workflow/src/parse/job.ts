/** One job of the file to a planned job. */
import { isSequence } from '@actions/workflow-parser/templates/tokens/type-guards';
import type { TemplateToken } from '@actions/workflow-parser/templates/tokens/index';
import type { CompiledStep, Position, Template } from '@onejob/protocol';
import { parseCallReference } from '../call/reference.ts';
import { foldCase } from '../evaluate/values.ts';
import type { CallArgument, PlannedJob, WorkflowCall } from '../model.ts';
import { egressEntry } from './egress.ts';
import { checkImages } from './images.ts';
import { type Entry, entriesOf, textsOf } from './mapping.ts';
import { readStep } from './steps.ts';
import type { TemplateReader } from './template.ts';

/** `defaults:` of a workflow or a job; only `run:` has any. */
export function readDefaults(
  reader: TemplateReader,
  token: TemplateToken | undefined,
): { shell: Template; workingDirectory: Template } {
  const run = entriesOf(entriesOf(token).get('run')?.value);
  return {
    shell: reader.read(run.get('shell')?.value),
    workingDirectory: reader.read(run.get('working-directory')?.value),
  };
}

function readSteps(
  reader: TemplateReader,
  token: TemplateToken | undefined,
  ids: string[],
): CompiledStep[] {
  if (token === undefined || !isSequence(token)) return [];
  return Array.from(token, (item, i) => readStep(reader, item, i, ids[i] ?? `__step_${i}`)).filter(
    (step) => step !== null,
  );
}

function placesOf(reader: TemplateReader, entries: Map<string, Entry>): Record<string, Position> {
  const places: Record<string, Position> = {};
  for (const [key, entry] of entries) places[key] = reader.problems.at(entry.key);
  return places;
}

function readArguments(reader: TemplateReader, token: TemplateToken | undefined): CallArgument[] {
  return Array.from(entriesOf(token), ([name, { value }]) => ({
    name,
    at: reader.problems.at(value),
    value: reader.read(value),
  }));
}

function readCall(reader: TemplateReader, entries: Map<string, Entry>): WorkflowCall | null {
  const entry = entries.get('uses');
  if (entry === undefined) return null;
  const uses = entry.value.toString();
  const at = reader.problems.at(entry.value);
  const reference = parseCallReference(uses);
  if ('problem' in reference) reader.problems.add(at, reference.problem);
  const secrets = entries.get('secrets')?.value;
  return {
    uses,
    at,
    with: readArguments(reader, entries.get('with')?.value),
    secrets: secrets?.isScalar === true ? 'inherit' : readArguments(reader, secrets),
    target: null,
  };
}

/**
 * @param source.stepIds one a step, in order
 * @param source.keyOf keys of the file's jobs, by the same without case: `needs` is read so
 */
export function readJob(
  reader: TemplateReader,
  source: {
    file: string;
    key: string;
    entry: Entry;
    stepIds: string[];
    keyOf: ReadonlyMap<string, string>;
  },
): PlannedJob {
  const { file, key, entry, stepIds, keyOf } = source;
  const entries = entriesOf(entry.value);
  const needs = textsOf(entries.get('needs')?.value) ?? [];
  const read = (name: string) => reader.read(entries.get(name)?.value);
  const condition = reader.condition(entries.get('if')?.value);
  const at = reader.problems.at(entry.key);
  checkImages(reader.problems, entries);
  return {
    file,
    key,
    at,
    needs: [...new Set(needs.map((need) => keyOf.get(foldCase(need)) ?? need))],
    condition: condition.node,
    conditionSource: condition.source,
    conditionAt: entries.has('if') ? condition.at : at,
    name: read('name'),
    runsOn: read('runs-on'),
    strategy: read('strategy'),
    strategyAt: reader.problems.at(entries.get('strategy')?.value ?? entry.key),
    places: placesOf(reader, entries),
    env: read('env'),
    ...egressEntry(reader.problems, entries.get('env')?.value),
    defaults: readDefaults(reader, entries.get('defaults')?.value),
    outputs: read('outputs'),
    timeoutMinutes: read('timeout-minutes'),
    continueOnError: read('continue-on-error'),
    container: read('container'),
    services: read('services'),
    permissions: read('permissions'),
    environment: read('environment'),
    concurrency: read('concurrency'),
    steps: readSteps(reader, entries.get('steps')?.value, stepIds),
    call: readCall(reader, entries),
  };
}
