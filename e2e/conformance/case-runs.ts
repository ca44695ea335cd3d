/**
 * What a conformance case has onejob do: one run, or with `runs:` several, each with what is expected
 * of it. Each begins when those before it have ended, or `meanwhile`: `true` at once, `running` once a job of
 * the one before it runs.
 *
 *     runs:
 *       - { expect: { conclusion: failure } }
 *       - { rerun: failed, actor: hubot, expect: { attempt: 2 } }
 *
 * A run has an `event`, `inputs`, `secrets` and `vars` of its own, else those of the case, and starts the
 * workflow of the case, or the `file` of it that is named, with its `changes`, or from the commit `before` them.
 * `rerun` is `all`, `failed`, or a list of jobs: the next attempt of the run before it, or of the n-th (`of`);
 * beside it, `debug`. Jobs of runs that others begin meanwhile
 * may wait for the file `$CASE_GATE`: it is there once all that begin before an end have begun.
 */
import { type Expectation, isMapping, readExpectation } from './expectation.ts';

type Mapping = Record<string, unknown>;

/** What a run is started with. */
export type RunSettings = {
  readonly event: { name: string; payload: Record<string, unknown>; ref: string };
  readonly inputs: Record<string, string>;
  readonly secrets: Record<string, string>;
  readonly vars: Record<string, string>;
};

export type CaseRun = RunSettings & {
  /** Path of its workflow; '': that of the case. */
  readonly file: string;
  /** Whether it comes from the commit before the case's changes. */
  readonly before: boolean;
  readonly meanwhile: boolean | 'running';
  readonly actor: string;
  /** null: no next attempt, but a run of its own. */
  readonly rerun: { failed: boolean; jobs: string[]; debug: boolean; of: number } | null;
  readonly expect: Expectation;
};

export const SETTINGS = ['event', 'inputs', 'secrets', 'vars'];
const KEYS = new Set([
  ...SETTINGS,
  ...['file', 'before', 'meanwhile', 'actor', 'rerun', 'of', 'debug', 'expect'],
]);

export function textsOf(value: unknown, what: string): Record<string, string> {
  if (value === undefined) return {};
  if (!isMapping(value)) throw new Error(`${what} must be a mapping`);
  return Object.fromEntries(
    Object.entries(value).map(([key, one]) => {
      if (typeof one !== 'string') throw new Error(`${what}: '${key}' must be a text`);
      return [key, one];
    }),
  );
}

export function text(value: unknown, what: string): string {
  if (typeof value === 'string' && value.trim() !== '') return value;
  throw new Error(`\`${what}\` is missing: it must be a text`);
}

/** A key that is `true`, or not there. */
export function flag(value: unknown, what: string): boolean {
  if (value === undefined || value === true) return value === true;
  throw new Error(`\`${what}\` is true, or not there`);
}

function readEvent(value: unknown): RunSettings['event'] {
  const given: Mapping = isMapping(value) ? value : { name: value ?? 'push' };
  const ref = typeof given['ref'] === 'string' ? given['ref'] : 'refs/heads/main';
  const payload = isMapping(given['payload']) ? given['payload'] : { ref };
  return { name: text(given['name'], 'event'), payload, ref };
}

function readSettings(document: Mapping): RunSettings {
  return {
    event: readEvent(document['event']),
    inputs: textsOf(document['inputs'], 'inputs'),
    secrets: textsOf(document['secrets'], 'secrets'),
    vars: textsOf(document['vars'], 'vars'),
  };
}

function readRerun({ rerun, debug, of: nth }: Mapping, place: number): CaseRun['rerun'] {
  if (rerun === undefined) {
    if (debug !== undefined || nth !== undefined)
      throw new Error('`debug` and `of` are of a `rerun`');
    return null;
  }
  const of = nth ?? place;
  if (typeof of !== 'number' || of < 1 || of > place) {
    throw new Error('a `rerun` is of a run before it');
  }
  const asked = { failed: rerun === 'failed', debug: flag(debug, 'debug'), of };
  if (rerun === 'all' || rerun === 'failed') return { ...asked, jobs: [] };
  if (Array.isArray(rerun) && rerun.length > 0) return { ...asked, jobs: rerun.map(String) };
  throw new Error('`rerun` is `all`, `failed`, or a list of jobs');
}

function readRun(document: Mapping, given: unknown, place: number): CaseRun {
  if (!isMapping(given)) throw new Error('each of `runs` is a mapping');
  const unknown = Object.keys(given).find((key) => !KEYS.has(key));
  if (unknown !== undefined) throw new Error(`a run has the unknown key '${unknown}'`);
  const file = given['file'] === undefined ? '' : text(given['file'], 'file');
  const meanwhile =
    given['meanwhile'] === 'running' ? 'running' : flag(given['meanwhile'], 'meanwhile');
  const rerun = readRerun(given, place);
  const before = flag(given['before'], 'before');
  if (meanwhile !== false && (place === 0 || rerun !== null)) {
    throw new Error('`meanwhile` is of a run that another one goes on beside');
  }
  return {
    ...readSettings({ ...document, ...given }),
    ...{ file, before, meanwhile, rerun },
    actor: given['actor'] === undefined ? 'mona' : text(given['actor'], 'actor'),
    expect: readExpectation(given['expect']),
  };
}

/** Of a case that has its own expectation, one run. */
export function readRuns(document: Mapping): CaseRun[] {
  const { runs, expect } = document;
  if (runs === undefined) return [readRun({}, { ...pick(document), expect }, 0)];
  if (expect !== undefined) throw new Error('`runs` have an `expect` each: none beside them');
  if (!Array.isArray(runs) || runs.length === 0) throw new Error('`runs` must be a list');
  return runs.map((one, place) => readRun(pick(document), one, place));
}

const pick = (document: Mapping): Mapping =>
  Object.fromEntries(SETTINGS.filter((key) => key in document).map((key) => [key, document[key]]));
