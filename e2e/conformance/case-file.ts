/**
 * Reads the conformance cases: YAML files below `cases/`, one document a case. A case says what
 * GitHub does, names where that is written, and is run by onejob (`run-case.ts`).
 *
 *     case: A heredoc keeps its lines                      # with the file's name it names the test
 *     source: SetOutputFileCommand_Heredoc in src/Test/L0/Worker/SetOutputFileCommandL0.cs
 *     steps: [{ id: a, run: '...' }]                       # or `workflow:`, `values:`, `texts:`
 *     expect: { log: [one, two] }                          # see expectation.ts
 *
 * `workflow:` is a whole file. `steps:` are those of one job, `job`, of a workflow on push; `jobs:` all
 * its jobs; `on:` is that of a workflow of one job. `values:` are expressions and what `toJSON` of each
 * reads as; `texts:` what each is inside of a text. Beside them: `event` (a name, or name, payload and ref), `inputs`, `secrets`, `vars`, `files` (path to
 * text), `characters` (a comment fills the `workflow` up to so many), `qemu` (`true`: the long tests run it in a machine of its own too), `deviation` (why onejob differs from what
 * is expected; such a case must fail, and docs/compatibility.md lists it).
 */
import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { parseAllDocuments } from 'yaml';
import { type Expectation, isMapping, readExpectation } from './expectation.ts';

export type ConformanceCase = {
  /** `<file>: <sentence>`. */
  readonly name: string;
  readonly source: string;
  readonly workflow: string;
  readonly event: { name: string; payload: Record<string, unknown>; ref: string };
  readonly inputs: Record<string, string>;
  readonly secrets: Record<string, string>;
  readonly vars: Record<string, string>;
  readonly files: Record<string, string>;
  /** Whether the long tests run it in a machine of its own too. */
  readonly inMachines: boolean;
  /** Why onejob does not do what is expected; empty: it does. */
  readonly deviation: string;
  readonly expect: Expectation;
};

type Mapping = Record<string, unknown>;

const CASES = join(import.meta.dirname, 'cases');

const KEYS = new Set([
  ...['case', 'source', 'event', 'inputs', 'secrets', 'vars', 'files', 'qemu', 'deviation'],
  ...['expect', 'workflow', 'characters', 'steps', 'jobs', 'on', 'values', 'texts'],
]);
/** A page of the documentation (the README of an action is one), or a test of the official runner or its libraries. */
const SOURCE =
  /^https:\/\/(?:docs\.github\.com|github\.com\/actions\/(?:checkout|toolkit|runner|(?:upload|download)-artifact|cache|setup-node))\/\S+|^[\w().\- ]+ in (?:actions\/languageservices )?[\w./-]+\.(?:cs|json|yml|ts)\b/;

function textsOf(value: unknown, what: string): Record<string, string> {
  if (value === undefined) return {};
  if (!isMapping(value)) throw new Error(`${what} must be a mapping`);
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => {
      if (typeof one !== 'string') throw new Error(`${what}: '${key}' must be a text`);
      return [key, one];
    }),
  );
}

function text(value: unknown, what: string): string {
  if (typeof value === 'string' && value.trim() !== '') return value;
  throw new Error(`\`${what}\` is missing: it must be a text`);
}

function readEvent(value: unknown): ConformanceCase['event'] {
  const given: Mapping = isMapping(value) ? value : { name: value ?? 'push' };
  const ref = typeof given['ref'] === 'string' ? given['ref'] : 'refs/heads/main';
  const payload = isMapping(given['payload']) ? given['payload'] : { ref };
  return { name: text(given['name'], 'event'), payload, ref };
}

function readInMachines(value: unknown): boolean {
  if (value === undefined || value === true) return value === true;
  throw new Error('`qemu` is true, or not there');
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
function ofExpressions(expressions: string[]): string {
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

/** What is run, and what is expected of it. */
function readSubject(document: Mapping): { workflow: string; expect: Expectation } {
  const kinds = ['workflow', ...Object.keys(WHOLE), 'values', 'texts'];
  const given = kinds.filter((kind) => kind in document);
  const [kind] = given;
  if (kind === undefined || given.length > 1) throw new Error(`give one of ${kinds.join(', ')}`);
  const part = document[kind];
  if (kind === 'workflow') {
    const workflow = filled(text(part, kind), document['characters']);
    return { workflow, expect: readExpectation(document['expect']) };
  }
  const whole = WHOLE[kind];
  if (whole !== undefined) {
    const workflow = JSON.stringify(whole(part));
    return { workflow, expect: readExpectation(document['expect']) };
  }
  if ('expect' in document) throw new Error(`\`${kind}\` are the expectation: no \`expect\``);
  if (!isMapping(part) || Object.keys(part).length === 0) {
    throw new Error(`\`${kind}\` must map expressions to what they are`);
  }
  const sources = Object.keys(part).map((one) => (kind === 'values' ? `toJSON(${one})` : one));
  const workflow = ofExpressions(sources);
  return { workflow, expect: readExpectation({ conclusion: 'success', [kind]: part }) };
}

function readCase(file: string, document: unknown): ConformanceCase {
  if (!isMapping(document)) throw new Error('a case is a mapping');
  const unknown = Object.keys(document).find((key) => !KEYS.has(key));
  if (unknown !== undefined) throw new Error(`the key '${unknown}' is not known`);
  const source = text(document['source'], 'source');
  if (!SOURCE.test(source)) {
    throw new Error(`\`source\` names neither a page of the documentation nor a test: ${source}`);
  }
  const { workflow, expect } = readSubject(document);
  return {
    name: `${basename(file, '.yml')}: ${text(document['case'], 'case')}`,
    source,
    workflow,
    event: readEvent(document['event']),
    inputs: textsOf(document['inputs'], 'inputs'),
    secrets: textsOf(document['secrets'], 'secrets'),
    vars: textsOf(document['vars'], 'vars'),
    files: textsOf(document['files'], 'files'),
    inMachines: readInMachines(document['qemu']),
    deviation: 'deviation' in document ? text(document['deviation'], 'deviation') : '',
    expect,
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
