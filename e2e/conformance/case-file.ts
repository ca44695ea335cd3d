/**
 * Reads the conformance cases: YAML files below `cases/`, one document a case. A case says what
 * GitHub does, names where that is written, and is run by onejob (`run-cases.ts`).
 *
 *     case: A heredoc keeps its lines                      # with the file's name it names the test
 *     source: SetOutputFileCommand_Heredoc in src/Test/L0/Worker/SetOutputFileCommandL0.cs
 *     steps: [{ id: a, run: '...' }]                       # or `workflow:`, `values:`, `texts:`
 *     expect: { log: [one, two] }                          # see expectation.ts
 *
 * `workflow:` is a whole file. `steps:` are those of one job, `job`, of a workflow on push; `jobs:` all
 * its jobs; `on:` is that of a workflow of one job. `values:` are expressions and what `toJSON` of each
 * reads as; `texts:` what each is inside of a text. Beside them: `event` (a name, or name, payload and ref),
 * `inputs`, `secrets`, `vars`, `files` (path to text; workflows that are called stand here too), `changes`
 * (path to text, or to null where it is deleted: what the event changes over the commit before it), `actions`
 * (`owner/name@ref` to its files: an action of another repository, without a leading `./`), `runs`
 * (several, with an `expect` each: see case-runs.ts), `qemu` (`true`: the long tests run it in a machine of
 * its own too), `long` (`true`: only the long tests run it), `characters` (a comment fills the `workflow` up to so many), `deviation` (why onejob differs from what is
 * expected; such a case must fail, and docs/compatibility.md lists it). What a `source` may name is in
 * `sources.yml`.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { type CaseRun, flag, readRuns, SETTINGS, text, textsOf } from './case-runs.ts';
import { isMapping } from './expectation.ts';
import { whyNoSource } from './sources.ts';

export type ConformanceCase = {
  /** `<file>: <sentence>`. */
  readonly name: string;
  readonly source: string;
  readonly workflow: string;
  readonly files: Record<string, string>;
  /** Over the commit before the event's; null: deleted. Empty: there is no commit before it. */
  readonly changes: Record<string, string | null>;
  /** Of other repositories: `owner/name@ref` to path to text. */
  readonly actions: Record<string, Record<string, string>>;
  /** At least one. */
  readonly runs: readonly CaseRun[];
  /** Its outputs `v0`, `v1`, ... are all there is to it: cases of one kind may share a run. */
  readonly expressions: readonly string[];
  /** Whether only the long tests run it. */
  readonly isLong: boolean;
  /** Whether the long tests run it in a machine of its own too. */
  readonly inMachines: boolean;
  /** Why onejob does not do what is expected; empty: it does. */
  readonly deviation: string;
};

type Mapping = Record<string, unknown>;

const CASES = join(import.meta.dirname, 'cases');

const KEYS = new Set([
  ...[
    'case',
    'source',
    ...SETTINGS,
    'files',
    'changes',
    'actions',
    'runs',
    'qemu',
    'long',
    'deviation',
  ],
  ...['expect', 'workflow', 'characters', 'steps', 'jobs', 'on', 'values', 'texts'],
]);

function readChanges(value: unknown): ConformanceCase['changes'] {
  if (!isMapping(value)) return textsOf(value, 'changes');
  const written = Object.entries(value).filter(([, one]) => one !== null);
  const deleted = Object.entries(value).filter(([, one]) => one === null);
  return {
    ...textsOf(Object.fromEntries(written), 'changes'),
    ...Object.fromEntries(deleted.map(([path]) => [path, null])),
  };
}

function readActions(value: unknown): ConformanceCase['actions'] {
  if (value === undefined) return {};
  if (!isMapping(value)) throw new Error('`actions` must be a mapping');
  return Object.fromEntries(
    Object.entries(value).map(([name, files]) => {
      if (!/^[\w-]+\/[\w-]+@[\w.-]+$/.test(name)) throw new Error(`no action of others: ${name}`);
      return [name, textsOf(files, name)];
    }),
  );
}

const RUNS_ON = { 'runs-on': 'ubuntu-latest' };
const STEPS = [{ run: 'true' }];

/** A whole workflow from the part that a case writes. */
const WHOLE: Record<string, (part: unknown) => unknown> = {
  steps: (steps) => ({ on: 'push', jobs: { job: { ...RUNS_ON, steps } } }),
  jobs: (jobs) => ({ on: 'push', jobs }),
  on: (on) => ({ on, jobs: { job: { ...RUNS_ON, steps: STEPS } } }),
};

/** Each expression becomes an output of a job: no process is needed to see its value. */
export function ofExpressions(expressions: readonly string[]): string {
  const outputs = expressions.map((one, i) => [`v${i}`, `\${{ ${one} }}`]);
  const steps = [{ if: false, run: 'true' }];
  const job = { ...RUNS_ON, outputs: Object.fromEntries(outputs), steps };
  return JSON.stringify({ on: ['push', 'pull_request'], jobs: { job } });
}

/** A file of a size: of characters that take two bytes each. */
function filled(workflow: string, characters: unknown): string {
  if (characters === undefined) return workflow;
  if (!Number.isSafeInteger(characters)) throw new Error('`characters` must be a whole number');
  return `${workflow}#`.padEnd(Number(characters), 'é');
}
type Subject = Pick<ConformanceCase, 'workflow' | 'runs' | 'expressions'>;

/** What is run, and what is expected of it. */
function readSubject(document: Mapping): Subject {
  const kinds = ['workflow', ...Object.keys(WHOLE), 'values', 'texts'];
  const given = kinds.filter((kind) => kind in document);
  const [kind] = given;
  if (kind === undefined || given.length > 1) throw new Error(`give one of ${kinds.join(', ')}`);
  const part = document[kind];
  if (kind === 'workflow') {
    const workflow = filled(text(part, kind), document['characters']);
    return { workflow, runs: readRuns(document), expressions: [] };
  }
  const whole = WHOLE[kind];
  if (whole !== undefined) {
    return { workflow: JSON.stringify(whole(part)), runs: readRuns(document), expressions: [] };
  }
  if ('expect' in document || 'runs' in document) {
    throw new Error(`\`${kind}\` are the expectation: no \`expect\`, no \`runs\``);
  }
  if (!isMapping(part) || Object.keys(part).length === 0) {
    throw new Error(`\`${kind}\` must map expressions to what they are`);
  }
  const expressions = Object.keys(part).map((one) => (kind === 'values' ? `toJSON(${one})` : one));
  const expect = { conclusion: 'success', [kind]: part };
  return {
    ...{ workflow: ofExpressions(expressions), expressions },
    runs: readRuns({ ...document, expect }),
  };
}

function readCase(file: string, document: unknown): ConformanceCase {
  if (!isMapping(document)) throw new Error('a case is a mapping');
  const unknown = Object.keys(document).find((key) => !KEYS.has(key));
  if (unknown !== undefined) throw new Error(`the key '${unknown}' is not known`);
  const source = text(document['source'], 'source');
  const why = whyNoSource(source);
  if (why !== '') throw new Error(`\`source\`: ${why}`);
  const inMachines = flag(document['qemu'], 'qemu');
  const subject = readSubject(document);
  if (inMachines && subject.runs.length > 1) throw new Error('`qemu` is of a case of one run');
  return {
    name: `${basename(file, '.yml')}: ${text(document['case'], 'case')}`,
    ...{ source, inMachines, ...subject },
    isLong: flag(document['long'], 'long'),
    files: textsOf(document['files'], 'files'),
    changes: readChanges(document['changes']),
    actions: readActions(document['actions']),
    deviation: 'deviation' in document ? text(document['deviation'], 'deviation') : '',
  };
}

/** Throws with file and line of the first case that is none. */
export function readCases(file: string, content: string): ConformanceCase[] {
  return parseAllDocuments(content).map((document) => {
    const start = document.contents?.range?.[0] ?? 0;
    const line = content.slice(0, start).split('\n').length;
    try {
      const [problem] = document.errors;
      if (problem !== undefined) throw problem;
      return readCase(file, document.toJS());
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`${file}:${line}: ${why}`, { cause: error });
    }
  });
}

/** All cases of the folder, or of the files with these names. */
export function loadCases(files: readonly string[] = listCaseFiles()): ConformanceCase[] {
  return files.flatMap((name) => {
    const file = join(CASES, `${name}.yml`);
    return readCases(file, readFileSync(file, 'utf8'));
  });
}

export function listCaseFiles(): string[] {
  return readdirSync(CASES)
    .filter((name) => name.endsWith('.yml'))
    .map((name) => basename(name, '.yml'))
    .toSorted();
}
