/**
 * Makes tests of conformance cases: one constellation, one test a case, several at a time. A case
 * that is marked as a deviation must fail, so that the mark goes when the deviation does.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import {
  assertBuried,
  type Constellation,
  NOTHING_KEPT,
  startConstellation,
} from '@onejob/testing';
import { type CaseCommits, type CasePlace, commitCases, REPOSITORY } from './case-commits.ts';
import { type ConformanceCase, loadCases } from './case-file.ts';
import { assertExpected, type Happening, isPlan, type Said } from './expectation.ts';

type Driver = 'process' | 'qemu';

/** One fills the pauses of the other; more only wait for each other. */
const CASES_AT_A_TIME: Record<Driver, number> = { process: 3, qemu: 2 };

/** A refusal of the API, as far as it is about the workflow. */
function problemsOf(error: unknown): string[] {
  const problems = (error as { problems?: { line: number; column: number; message: string }[] })
    .problems;
  if (!(error instanceof Error) || problems === undefined || problems.length === 0) throw error;
  return problems.map(({ line, column, message }) => `${line}:${column} ${message}`);
}

async function readSaid(
  { api }: Constellation,
  jobs: readonly { id: string; name: string }[],
): Promise<Record<string, Said>> {
  const said: Record<string, Said> = {};
  for (const { id, name } of jobs) {
    const { rows } = await api.log(id, 0);
    const summary = (await api.summaries(id)).map(({ markdown }) => markdown).join('');
    said[name] = { rows, summary };
    for (;;) {
      const page = rows.length === 0 ? [] : (await api.log(id, rows.length)).rows;
      if (page.length === 0) break;
      rows.push(...page);
    }
  }
  return said;
}

async function runCase(
  constellation: Constellation,
  one: ConformanceCase,
  { sha, file }: CasePlace,
  driver: Driver,
): Promise<Happening> {
  const { api } = constellation;
  const { event, inputs, secrets, vars } = one;
  const request = {
    ...{ repository: REPOSITORY, sha, ref: event.ref, workflows: [file] },
    ...{ event: { name: event.name, payload: event.payload }, actor: 'mona' },
    ...{
      secrets,
      vars,
      inputs,
      env: NOTHING_KEPT,
      jobs: [],
      matrix: {},
      driver,
      keepSandbox: false,
    },
  };
  try {
    if (isPlan(one.expect)) return { kind: 'planned', plan: await api.plan(request) };
    if (one.expect.refs !== undefined) {
      const refs: Record<string, boolean> = {};
      for (const ref of Object.keys(one.expect.refs)) {
        const { workflows } = await api.plan({ ...request, ref });
        refs[ref] = workflows[0]?.triggered ?? false;
      }
      return { kind: 'pushed', refs };
    }
    const { runs, notTriggered } = await api.createRuns(request);
    const [started] = runs;
    assert.ok(started !== undefined, notTriggered[0]?.why);
    for await (const _ of api.events(started.id, new AbortController().signal)) {
      // The stream ends with the run.
    }
    const run = await api.run(started.id);
    return { kind: 'ran', run, said: await readSaid(constellation, run.jobs) };
  } catch (error) {
    return { kind: 'refused', problems: problemsOf(error) };
  }
}

/** Cases speak of the file `case.yml`: its number is ours. */
function withFixedName(happened: Happening, file: string): Happening {
  const text = JSON.stringify(happened).replaceAll(file, '.github/workflows/case.yml');
  return JSON.parse(text) as Happening;
}

function assertOutcome(one: ConformanceCase, happened: Happening): void {
  if (one.deviation === '') {
    try {
      assertExpected(happened, one.expect);
    } catch (error) {
      if (error instanceof Error) error.message += `\nThe source of the case: ${one.source}`;
      throw error;
    }
    return;
  }
  assert.throws(
    () => assertExpected(happened, one.expect),
    assert.AssertionError,
    'onejob does what GitHub does: take `deviation` away, and the case out of docs/compatibility.md',
  );
}

/** The tests of one file of cases, by its name. Call at the top of a test file. */
export function testCaseFile(name: string): void {
  testCases(name, 'process', loadCases([name]));
}

/** Call at the top of a test file. */
export function testCases(title: string, driver: Driver, cases: readonly ConformanceCase[]): void {
  const undo = new AsyncDisposableStack();
  let constellation: Constellation;
  let commits: CaseCommits;
  before(async () => {
    const slots = CASES_AT_A_TIME[driver];
    commits = undo.use(commitCases(cases));
    constellation = undo.use(await startConstellation({ driver, agent: { slots } }));
  });
  after(async () => {
    await using _ = undo;
    await assertBuried(constellation.agentDirectory);
  });
  describe(title, { concurrency: CASES_AT_A_TIME[driver] }, () => {
    for (const one of cases) {
      test(one.name, async () => {
        const place = await commits.place(constellation, one);
        const happened = await runCase(constellation, one, place, driver);
        assertOutcome(one, withFixedName(happened, place.file));
      });
    }
  });
}
