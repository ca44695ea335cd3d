/**
 * What a test run prints: a line per file in a pipe, one moving line on a terminal, every failure in
 * full where it happens and once more by name at the end, and as the very last line the counts.
 */

import type { TestEnd } from './event-reporter.ts';
import type { FileRun } from './run-file.ts';

export interface Counts {
  passed: number;
  failed: number;
  skipped: number;
}

/** A failing file's own output is shown up to this many lines. */
const OUTPUT_LINES = 80;

/** The ends that say something of their own: a parent that failed only by its children does not. */
function isOwnFailure(end: TestEnd): boolean {
  return end.outcome === 'failed' && end.failureType !== 'subtestsFailed';
}

/** Counts as Node does: tests, not suites; and each problem of the file as one failure. */
function countRun(run: FileRun): Counts {
  const counts: Counts = { passed: 0, failed: run.problems.length, skipped: 0 };
  for (const end of run.ends) {
    if (!end.isSuite || isOwnFailure(end)) counts[end.outcome] += 1;
  }
  return counts;
}

/** Puts the names of the enclosing suites before each failure: a suite ends after its contents. */
function fullNames(ends: readonly TestEnd[]): Map<TestEnd, string> {
  const names = new Map<TestEnd, string>();
  const parents: string[] = [];
  for (const end of ends.toReversed()) {
    parents.length = end.nesting;
    names.set(end, [...parents.filter((name) => name !== undefined), end.name].join(' > '));
    parents[end.nesting] = end.name;
  }
  return names;
}

function indent(text: string): string {
  return text
    .trimEnd()
    .split('\n')
    .map((line) => `    ${line}`)
    .join('\n');
}

/** The headline of each failure of a file, e.g. `agent/src/link.test.ts:12  link > closes once`. */
function failureTitles(run: FileRun): string[] {
  const names = fullNames(run.ends);
  return [
    ...run.problems.map((problem) => `${run.file}  the file ${problem.split('\n')[0]}`),
    ...run.ends
      .filter(isOwnFailure)
      .map((end) => `${run.file}:${end.line ?? 1}  ${names.get(end) ?? end.name}`),
  ];
}

/** Everything there is to know of a failed file; empty for one that passed. */
function describeFailures(run: FileRun): string {
  const details = [
    ...run.problems.map((problem) => `the file ${problem}`),
    ...run.ends.filter(isOwnFailure).map((end) => end.errorText ?? 'no error was given'),
  ];
  if (details.length === 0) return '';
  const parts = failureTitles(run).map(
    (title, index) => `FAILED  ${title}\n${indent(details[index] ?? '')}`,
  );
  const output = run.output.trim();
  if (output !== '') {
    const lines = output.split('\n');
    const cut =
      lines.length > OUTPUT_LINES ? ` (last ${OUTPUT_LINES} of ${lines.length} lines)` : '';
    parts.push(
      `  What ${run.file} printed${cut}:\n${indent(lines.slice(-OUTPUT_LINES).join('\n'))}`,
    );
  }
  return `\n${parts.join('\n\n')}\n\n`;
}

export interface ReportTarget {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Prints as results come in, and adds them up. */
export class Report {
  readonly #out: ReportTarget;
  readonly #total: Counts = { passed: 0, failed: 0, skipped: 0 };
  readonly #failures: string[] = [];
  readonly #fileCount: number;
  #doneCount = 0;

  constructor(out: ReportTarget, fileCount: number) {
    this.#out = out;
    this.#fileCount = fileCount;
  }

  get counts(): Readonly<Counts> {
    return this.#total;
  }

  add(run: FileRun): void {
    const counts = countRun(run);
    this.#total.passed += counts.passed;
    this.#total.failed += counts.failed;
    this.#total.skipped += counts.skipped;
    this.#doneCount += 1;
    this.#failures.push(...failureTitles(run));
    const failures = describeFailures(run);
    if (this.#out.isTTY === true) {
      this.#out.write(`\r\u001b[K${failures}`);
      const line = `${this.#doneCount}/${this.#fileCount} files  ${this.#line()}  ${run.file}`;
      this.#out.write(line.slice(0, (this.#out.columns ?? 80) - 1));
      return;
    }
    const mark = counts.failed === 0 ? 'ok    ' : 'FAILED';
    const seconds = `${(run.durationMs / 1000).toFixed(1)} s`.padStart(8);
    this.#out.write(`${mark} ${String(counts.passed).padStart(5)} ${seconds}  ${run.file}\n`);
    this.#out.write(failures);
  }

  #line(): string {
    const { passed, failed, skipped } = this.#total;
    return `${passed} passed, ${failed} failed${skipped > 0 ? `, ${skipped} skipped` : ''}`;
  }

  /** A failure of the run as a whole, e.g. that no test was executed. */
  addProblem(problem: string): void {
    this.#total.failed += 1;
    this.#failures.push(problem);
  }

  end(durationMs: number): void {
    if (this.#out.isTTY === true) this.#out.write('\r\u001b[K');
    if (this.#failures.length > 0) {
      this.#out.write(`\nFailed:\n${this.#failures.map((title) => `  ${title}\n`).join('')}`);
    }
    this.#out.write(`\n${this.#doneCount} files in ${(durationMs / 1000).toFixed(1)} s\n`);
    this.#out.write(`${this.#line()}\n`);
  }
}
