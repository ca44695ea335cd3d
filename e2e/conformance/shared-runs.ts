/**
 * One run for many conformance cases: those that are expressions only, with the same event, inputs and
 * variables, are outputs of one job. Where that run does not succeed, each case has one of its own, so
 * that what is wrong with one is not told of others.
 */
import { isDeepStrictEqual } from 'node:util';
import { type ConformanceCase, ofExpressions } from './case-file.ts';
import type { Happening } from './expectation.ts';

/** A run of several cases, and where the outputs of each begin. */
export type SharedRun = ConformanceCase & { readonly begins: ReadonlyMap<ConformanceCase, number> };

/** Outputs of one job: far below its limits, and few enough to be read in a message. */
const EXPRESSIONS = 100;

const canShare = ({ expressions, files, deviation, inMachines }: ConformanceCase): boolean =>
  expressions.length > 0 && Object.keys(files).length === 0 && deviation === '' && !inMachines;

function settingsOf({ runs }: ConformanceCase): unknown {
  const [first] = runs;
  return first === undefined ? {} : { ...first, expect: {} };
}

function shareOne(cases: readonly ConformanceCase[]): SharedRun {
  const begins = new Map<ConformanceCase, number>();
  const expressions: string[] = [];
  for (const one of cases) {
    begins.set(one, expressions.length);
    expressions.push(...one.expressions);
  }
  const [first] = cases;
  if (first === undefined) throw new Error('a shared run has cases');
  const runs = first.runs.map((run) => ({ ...run, expect: { conclusion: 'success' } }));
  return { ...first, name: 'shared', workflow: ofExpressions(expressions), runs, begins };
}

export function shareRuns(cases: readonly ConformanceCase[]): SharedRun[] {
  const groups: ConformanceCase[][] = [];
  for (const one of cases.filter(canShare)) {
    const group = groups.find(
      ([other, ...more]) =>
        other !== undefined &&
        isDeepStrictEqual(settingsOf(other), settingsOf(one)) &&
        [other, ...more, one].flatMap(({ expressions }) => expressions).length <= EXPRESSIONS,
    );
    if (group === undefined) groups.push([one]);
    else group.push(one);
  }
  return groups.filter((group) => group.length > 1).map(shareOne);
}

export const sharersOf = (
  shared: readonly SharedRun[],
  one: ConformanceCase,
): SharedRun | undefined => shared.find(({ begins }) => begins.has(one));

/** What happened to one case of a shared run; undefined: it needs a run of its own. */
export function shareOf(
  { begins }: SharedRun,
  one: ConformanceCase,
  [happened]: readonly Happening[],
): readonly Happening[] | undefined {
  if (happened?.kind !== 'ran' || happened.run.conclusion !== 'success') return undefined;
  const start = begins.get(one) ?? 0;
  const jobs = happened.run.jobs.map((job) => ({
    ...job,
    outputs: Object.fromEntries(
      one.expressions.flatMap((_, i) => {
        const value = job.outputs[`v${start + i}`];
        return value === undefined ? [] : [[`v${i}`, value]];
      }),
    ),
  }));
  return [{ ...happened, run: { ...happened.run, jobs } }];
}
