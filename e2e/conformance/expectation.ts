/**
 * What a conformance case expects, and whether what happened is that. Only what is named is looked
 * at; what is named must be so exactly.
 *
 *     problems: ['3:5 sentence']           the workflow is refused with these, in order; each may be a pattern
 *     triggered: false                     whether the event starts the workflow; nothing is run
 *     refs: { refs/heads/a: true }         the same for a push to each of these
 *     plan: { key: { legs, runsOn, needs, refused } }      names of legs; nothing is run
 *     conclusion, name, attempt            of the run
 *     warnings                             all of it: what its workflow file says without effect
 *     after: 1                             its jobs began when those of the first of `runs` had ended
 *     jobs: { name: {...} }                all of them, by name; each with the keys below
 *     conclusion, reason, message          of the job; `message` may be a pattern
 *     inAttempt, environment               of the job: the attempt it was run in; { name, url }
 *     after: [job]                         it began when these had ended
 *     waitsFor: group                      the concurrency group that it waited for when its run began; '': none
 *     steps: { name: conclusion }          all of the main part, in order; or { outcome, conclusion, exitCode }
 *     log: [line]                          rows that come in this order, others between them
 *     notInLog: [line]                     rows that do not come
 *     outputs, annotations, summary        all of them
 *
 * A run with one job may name the job's keys beside the run's. A text of the form `/.../` is a
 * regular expression; other lines are whole rows.
 */
import assert from 'node:assert/strict';
import type { Job, LogRow, Plan, Run } from '@onejob/protocol';

type StepExpectation = string | { outcome?: string; conclusion?: string; exitCode?: number };

type JobExpectation = {
  conclusion?: string;
  reason?: string;
  message?: string;
  steps?: Record<string, StepExpectation>;
  log?: string[];
  notInLog?: string[];
  outputs?: Record<string, string>;
  annotations?: Record<string, unknown>[];
  summary?: string;
  inAttempt?: number;
  environment?: Record<string, unknown>;
  after?: string[];
  waitsFor?: string;
  values?: Record<string, unknown>;
  texts?: Record<string, string>;
};

type RunExpectation = {
  name?: string;
  attempt?: number;
  warnings?: string[];
  after?: number;
};

export type Expectation = Omit<JobExpectation, 'after'> &
  RunExpectation & {
    problems?: string[];
    triggered?: boolean;
    refs?: Record<string, boolean>;
    plan?: Record<string, Record<string, unknown>>;
    jobs?: Record<string, JobExpectation | string>;
  };

/** What became of a case. */
export type Happening =
  | { kind: 'refused'; problems: string[] }
  | { kind: 'planned'; plan: Plan }
  | { kind: 'pushed'; refs: Record<string, boolean> }
  | Ran;

/** `began`: the run as it was when it had been started; `earlier`: the case's runs before it. */
export type Ran = {
  kind: 'ran';
  run: Run;
  said: Record<string, Said>;
  began: Run;
  earlier: Run[];
};

/** What a job wrote. */
export type Said = { rows: LogRow[]; summary: string };

const OF_JOBS = [
  ...['conclusion', 'reason', 'message', 'steps', 'log', 'notInLog', 'outputs', 'annotations'],
  ...['summary', 'values', 'texts', 'inAttempt', 'environment', 'after', 'waitsFor'],
];
const OF_RUNS = ['name', 'attempt', 'warnings'];
const OF_CASES = [...OF_JOBS, ...OF_RUNS, 'problems', 'triggered', 'refs', 'plan', 'jobs'];

export const isMapping = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

function checkKeys(value: Record<string, unknown>, known: readonly string[], what: string): void {
  const keys = Object.keys(value);
  if (keys.length === 0) throw new Error(`${what} is empty: nothing would be looked at`);
  const unknown = keys.find((key) => !known.includes(key));
  if (unknown !== undefined) throw new Error(`${what} has the unknown key '${unknown}'`);
  for (const [key, one] of Object.entries(value)) {
    const isEmpty = isMapping(one) ? Object.keys(one).length === 0 : one === null;
    const mayBeEmpty = ['outputs', 'steps', 'jobs', 'environment'].includes(key) && one !== null;
    if (isEmpty && !mayBeEmpty) throw new Error(`${what}: '${key}' is empty`);
  }
}

/** YAML reads `1E+15` and `no` as something else than texts, and no text is equal to those. */
function checkTexts(value: Record<string, unknown>): void {
  for (const key of ['texts', 'outputs']) {
    for (const [name, text] of Object.entries(value[key] ?? {})) {
      if (typeof text !== 'string') throw new Error(`'${key}': '${name}' is no text: quote it`);
    }
  }
  for (const key of ['log', 'notInLog', 'problems', 'warnings']) {
    const lines: unknown = value[key] ?? [];
    const isList = Array.isArray(lines) && lines.every((line) => typeof line === 'string');
    if (!isList) throw new Error(`'${key}' must be a list of texts: quote what is none`);
  }
}

/** @throws if it expects nothing, or something unknown */
export function readExpectation(value: unknown): Expectation {
  if (!isMapping(value)) throw new Error('`expect` is missing: it must be a mapping');
  checkKeys(value, OF_CASES, '`expect`');
  for (const [name, job] of Object.entries(value['jobs'] ?? {})) {
    if (isMapping(job)) checkKeys(job, OF_JOBS, `the job '${name}'`);
  }
  checkTexts(value);
  return value;
}

const PATTERN = /^\/(.*)\/$/s;

function fits(expected: string, text: string): boolean {
  const [, pattern] = PATTERN.exec(expected) ?? [];
  return pattern === undefined ? text === expected : new RegExp(pattern, 'u').test(text);
}

function assertLog(rows: readonly string[], { log = [], notInLog = [] }: JobExpectation): void {
  const shown = `The log is:\n${rows.join('\n')}`;
  let at = 0;
  for (const line of log) {
    const found = rows.findIndex((row, i) => i >= at && fits(line, row));
    assert.ok(found >= 0, `The log misses, after ${at} rows, the line: ${line}\n${shown}`);
    at = found + 1;
  }
  for (const line of notInLog) {
    assert.ok(!rows.some((row) => fits(line, row)), `The log has the line: ${line}\n${shown}`);
  }
}

function assertSteps(job: Job, expected: Record<string, StepExpectation>): void {
  const steps = job.steps.filter(({ index, phase }) => index >= 0 && phase === 'main');
  const names = Object.keys(expected);
  assert.deepEqual(
    steps.map(({ name }) => name),
    names,
    'steps of the job',
  );
  steps.forEach((step, i) => {
    const wanted = expected[names[i] ?? ''];
    const { outcome, conclusion, exitCode } = step;
    if (typeof wanted === 'string') assert.equal(conclusion, wanted, `the step '${step.name}'`);
    else assert.partialDeepStrictEqual({ outcome, conclusion, exitCode }, wanted, step.name);
  });
}

/** The expressions of `values:` and `texts:` are the job's outputs `v0`, `v1`, ...; empty ones are left out. */
function assertExpressions(job: Job, { values, texts }: JobExpectation): void {
  Object.entries(values ?? {}).forEach(([expression, value], i) => {
    const json = job.outputs[`v${i}`] ?? '';
    assert.deepEqual(JSON.parse(json), value, expression);
  });
  Object.entries(texts ?? {}).forEach(([expression, text], i) => {
    assert.equal(job.outputs[`v${i}`] ?? '', text, expression);
  });
}

/** When its machine was given to it; `where` names it for people. */
function assertAfter({ adoptedAtMs, name }: Job, others: readonly Job[], where: string): void {
  const end = Math.max(...others.map(({ finishedAtMs }) => finishedAtMs ?? Number.MAX_VALUE));
  assert.ok(adoptedAtMs !== null && adoptedAtMs >= end, `${name} began before the end of ${where}`);
}

function assertPlace(
  job: Job,
  { run, began }: Ran,
  { inAttempt, environment, after, waitsFor }: JobExpectation,
): void {
  if (inAttempt !== undefined) assert.equal(job.attempt, inAttempt, `attempt of ${job.name}`);
  if (environment !== undefined) assert.deepEqual(job.environment ?? {}, environment, job.name);
  if (after !== undefined) {
    const others = run.jobs.filter(({ name }) => after.includes(name));
    assert.equal(others.length, after.length, `jobs before ${job.name}`);
    assertAfter(job, others, after.join(', '));
  }
  if (waitsFor !== undefined) {
    const waited = began.jobs.find(({ name }) => name === job.name)?.waitsFor?.group ?? '';
    assert.equal(waited, waitsFor, `the concurrency group that ${job.name} waited for`);
  }
}

function assertJob(job: Job, ran: Ran, expected: JobExpectation | string): void {
  if (typeof expected === 'string') return assert.equal(job.conclusion, expected, job.name);
  const { rows, summary: wrote } = ran.said[job.name] ?? SILENT;
  const lines = rows.map(({ text }) => text);
  const { conclusion, reason, message, steps, outputs, annotations, summary } = expected;
  const said = `${job.name}: ${job.endMessage}\n${lines.join('\n')}`;
  if (conclusion !== undefined) assert.equal(job.conclusion, conclusion, said);
  if (reason !== undefined) assert.equal(job.endReason, reason, said);
  if (message !== undefined) {
    assert.ok(fits(message, job.endMessage), `expected: ${message}, but it is: ${job.endMessage}`);
  }
  if (steps !== undefined) assertSteps(job, steps);
  assertLog(lines, expected);
  if (outputs !== undefined) assert.deepEqual(job.outputs, outputs, said);
  if (annotations !== undefined) {
    assert.deepEqual(
      job.annotations.map(({ annotation }) => annotation),
      annotations,
    );
  }
  if (summary !== undefined) {
    assert.equal(wrote, summary);
  }
  assertPlace(job, ran, expected);
  assertExpressions(job, expected);
}

const SILENT: Said = { rows: [], summary: '' };

function assertOfRun({ run, earlier }: Ran, expected: RunExpectation): void {
  const { name, attempt, warnings, after } = expected;
  if (name !== undefined) assert.ok(fits(name, run.name), `it is named: ${run.name}`);
  if (attempt !== undefined) assert.equal(run.attempt, attempt, 'attempt of the run');
  if (warnings !== undefined) {
    const said = run.warnings.map(({ line, column, message }) => `${line}:${column} ${message}`);
    assert.equal(said.length, warnings.length, said.join('\n'));
    said.forEach((one, i) => assert.ok(fits(warnings[i] ?? '', one), `it warns: ${one}`));
  }
  if (after === undefined) return;
  const other = earlier[after - 1];
  assert.ok(other !== undefined, `there is no run ${after} before it`);
  for (const job of run.jobs) assertAfter(job, other.jobs, `run ${after}`);
}

function assertRun(ran: Ran, expected: Expectation): void {
  const { run, said } = ran;
  const { jobs, conclusion, ...others } = expected;
  const { name: _, attempt: _a, warnings: _w, after: _r, ...ofTheJob } = others;
  if (conclusion !== undefined) {
    const ends = run.jobs.map((job) => `${job.name}: ${job.conclusion}, ${job.endMessage}`);
    const texts = Object.values(said).flatMap(({ rows }) => rows.map(({ text }) => text));
    assert.equal(run.conclusion, conclusion, [...ends, ...texts].join('\n'));
  }
  assertOfRun(ran, expected);
  for (const job of run.jobs) {
    const wanted = jobs?.[job.name];
    if (wanted !== undefined) assertJob(job, ran, wanted);
  }
  if (jobs !== undefined) {
    const names = run.jobs.map((job) => job.name).toSorted();
    assert.deepEqual(names, Object.keys(jobs).toSorted(), 'jobs of the run');
  }
  if (Object.keys(ofTheJob).length === 0) return;
  const [job] = run.jobs;
  assert.ok(job !== undefined && run.jobs.length === 1, 'name the job: the run has several');
  assertJob(job, ran, ofTheJob);
}

function assertPlan(plan: Plan, expected: Record<string, Record<string, unknown>>): void {
  const jobs = plan.workflows[0]?.jobs ?? [];
  const names = jobs.map(({ key }) => key);
  assert.deepEqual(names.toSorted(), Object.keys(expected).toSorted(), 'jobs of the plan');
  for (const job of jobs) {
    const seen = { ...job, legs: job.legs?.map(({ name }) => name) ?? null };
    assert.partialDeepStrictEqual(seen, expected[job.key], job.key);
  }
}

/** Whether nothing is to be run for it. */
export const isPlan = ({ plan, triggered }: Expectation): boolean =>
  plan !== undefined || triggered !== undefined;

/** @throws AssertionError with what is different */
export function assertExpected(happened: Happening, expected: Expectation): void {
  const { problems, triggered, refs, plan } = expected;
  if (happened.kind === 'refused' || problems !== undefined) {
    const seen = happened.kind === 'refused' ? happened.problems : [];
    const wanted = problems ?? [];
    // What fits is shown as it was asked for, so that only the others differ.
    const shown = seen.map((one, i) => (fits(wanted[i] ?? '', one) ? wanted[i] : one));
    assert.deepEqual(shown, wanted);
  } else if (happened.kind === 'pushed') {
    assert.deepEqual(happened.refs, refs);
  } else if (happened.kind === 'planned') {
    const [workflow] = happened.plan.workflows;
    if (triggered !== undefined) assert.equal(workflow?.triggered, triggered, workflow?.why);
    if (plan !== undefined) assertPlan(happened.plan, plan);
  } else {
    assertRun(happened, expected);
  }
}
