/**
 * Makes tests of conformance cases: one constellation, one test a case, several at a time. A case
 * that is marked as a deviation must fail, by its last run, so that the mark goes when the deviation does.
 */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { assertBuried, type Constellation, startConstellation } from '@onejob/testing';
import { mirrorActions } from './case-actions.ts';
import { type CaseCommits, commitCases } from './case-commits.ts';
import { type ConformanceCase, loadCases } from './case-file.ts';
import { assertExpected, type Happening } from './expectation.ts';
import { type Driver, runCase } from './run-case.ts';
import { sharersOf, shareOf, shareRuns } from './shared-runs.ts';

/** One fills the pauses of the other; more only wait for each other. */
const CASES_AT_A_TIME: Record<Driver, number> = { process: 3, qemu: 2 };

/** Cases speak of the file `case.yml`: its number is ours. */
function withFixedName<T>(happened: T, file: string): T {
  const text = JSON.stringify(happened).replaceAll(file, '.github/workflows/case.yml');
  return JSON.parse(text) as T;
}

/** @throws AssertionError with what is different */
function assertRun({ runs }: ConformanceCase, place: number, happened: readonly Happening[]): void {
  const [run, one] = [runs[place], happened[place]];
  assert.ok(run !== undefined && one !== undefined);
  try {
    assertExpected(one, run.expect);
  } catch (error) {
    if (error instanceof Error && runs.length > 1) error.message += `\nThat is run ${place + 1}.`;
    throw error;
  }
}

function assertOutcome(one: ConformanceCase, happened: readonly Happening[]): void {
  const last = one.runs.length - 1;
  try {
    for (const place of one.runs.keys()) {
      if (place < last || one.deviation === '') assertRun(one, place, happened);
    }
  } catch (error) {
    if (error instanceof Error) error.message += `\nThe source of the case: ${one.source}`;
    throw error;
  }
  if (one.deviation === '') return;
  assert.throws(
    () => assertRun(one, last, happened),
    assert.AssertionError,
    'onejob does what GitHub does: take `deviation` away, and the case out of docs/compatibility.md',
  );
}

/**
 * The tests of files of cases, by their names. Call at the top of a test file: each has a constellation,
 * which takes as long to start as dozens of cases.
 */
export function testCaseFiles(...names: string[]): void {
  const cases = loadCases(names).filter(({ isLong }) => !isLong);
  testCases(names.join(', '), 'process', cases);
}

/** Call at the top of a test file. */
export function testCases(title: string, driver: Driver, cases: readonly ConformanceCase[]): void {
  const undo = new AsyncDisposableStack();
  let constellation: Constellation;
  let commits: CaseCommits;
  const shared = shareRuns(cases);
  before(async () => {
    const slots = CASES_AT_A_TIME[driver];
    commits = undo.use(commitCases([...cases, ...shared]));
    const mirror = undo.use(mirrorActions(cases));
    const agent = { slots, actionMirrors: [mirror.directory] };
    constellation = undo.use(
      await startConstellation({ driver, agent, controlPlane: { personal: true } }),
    );
  });
  after(async () => {
    await using _ = undo;
    await assertBuried(constellation.agentDirectory);
  });
  const ran = new Map<ConformanceCase, Promise<readonly Happening[]>>();
  /** Once, however many ask. */
  const run = async (one: ConformanceCase): Promise<readonly Happening[]> => {
    const running =
      ran.get(one) ??
      (async () => {
        const place = await commits.place(constellation, one);
        return withFixedName(await runCase(constellation, one, place, driver), place.file);
      })();
    ran.set(one, running);
    return await running;
  };
  describe(title, { concurrency: CASES_AT_A_TIME[driver] }, () => {
    for (const one of cases) {
      test(one.name, async () => {
        const whole = sharersOf(shared, one);
        const part = whole === undefined ? undefined : shareOf(whole, one, await run(whole));
        assertOutcome(one, part ?? (await run(one)));
      });
    }
  });
}
