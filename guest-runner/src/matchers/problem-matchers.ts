/**
 * The problem matchers of a job: those that steps added and none removed, newest first, and what they
 * find in lines of output. Behaves as GitHub's (documentation of its toolkit, ADR 0276 of its runner).
 *
 * Promises: matching ends. A piece of output has MATCHER_TIMEOUT_MS; the matcher at work when that is
 * over begins anew, and is removed from the job at the third time. So no expression stops a job.
 */
import { GuestError, messageOf } from '../errors.ts';
import { MATCHER_FAILURES, MATCHER_TIMEOUT_MS, MATCHERS_PER_JOB } from '../limits.ts';
import { parseMatchers, parseOwners } from './matcher-config.ts';
import { Matcher } from './matcher.ts';
import type { Captured } from './matcher.ts';
import { TimeGuard } from './time-guard.ts';

export type Problem = Captured & { level: 'notice' | 'warning' | 'error'; message: string };
export type Note = { kind: 'debug' | 'warning'; text: string };

/** What is to be said about a line. */
export type LineFinding = {
  /** Without colours. */
  line: string;
  problem?: Problem;
  notes: Note[];
};

type Progress = { line: number; matcher: number };

// oxlint-disable-next-line no-control-regex -- the escape character is what is looked for
const COLOUR = /\u001b\[[0-9;]*m?/g;
export const withoutColours = (line: string): string =>
  line.includes('\u001b[') ? line.replaceAll(COLOUR, '') : line;

/** Undefined, with a note: the match is none. */
function toProblem(captured: Captured, notes: Note[]): Problem | undefined {
  const { message, severity } = captured;
  if (message === undefined || message.trim() === '') {
    const why = 'the message is empty.';
    notes.push({
      kind: 'debug',
      text: `Skipping logging an issue for the matched line because ${why}`,
    });
    return undefined;
  }
  const level = (severity || 'error').toLowerCase();
  if (level !== 'error' && level !== 'warning' && level !== 'notice') {
    const why = `the severity '${severity}' is not supported.`;
    notes.push({
      kind: 'debug',
      text: `Skipped logging an issue for the matched line because ${why}`,
    });
    return undefined;
  }
  return { ...captured, level, message };
}

export class ProblemMatchers {
  private readonly guard = new TimeGuard();
  private matchers: Matcher[] = [];
  private readonly failures = new WeakMap<Matcher, number>();

  get isEmpty(): boolean {
    return this.matchers.length === 0;
  }

  /** Adds those of a file, the first of them first; gives the owners. @throws GuestError `step` */
  add(text: string): string[] {
    const added = parseMatchers(text, this.guard).map((config) => new Matcher(config));
    const owners = added.map(({ owner }) => owner);
    const kept = this.without(owners);
    if (added.length + kept.length > MATCHERS_PER_JOB) {
      throw new GuestError(
        'step',
        `More than ${MATCHERS_PER_JOB} problem matchers in one job: remove some with ::remove-matcher.`,
      );
    }
    this.matchers = [...added, ...kept];
    return owners;
  }

  /** Gives the owners that were there. */
  remove(owners: string[]): string[] {
    const kept = this.without(owners);
    const removed = this.matchers.filter((one) => !kept.includes(one));
    this.matchers = kept;
    return removed.map(({ owner }) => owner);
  }

  /** Removes those a file names. @throws GuestError `step` */
  removeFile(text: string): string[] {
    return this.remove(parseOwners(text));
  }

  /** A step begins: what an earlier one wrote is no beginning of a match. */
  reset(): void {
    for (const matcher of this.matchers) matcher.reset();
  }

  /** For each line what was found, undefined: nothing. */
  match(lines: string[]): (LineFinding | undefined)[] {
    const findings = Array.from<LineFinding | undefined>({ length: lines.length });
    const at: Progress = { line: 0, matcher: 0 };
    while (at.line < lines.length && !this.isEmpty) {
      let failure: string | undefined;
      try {
        const isDone = this.guard.run(() => this.scan(lines, findings, at), MATCHER_TIMEOUT_MS);
        if (isDone) break;
      } catch (error) {
        failure = messageOf(error);
      }
      const line = lines[at.line];
      if (line === undefined) break;
      const finding = (findings[at.line] ??= { line: withoutColours(line), notes: [] });
      this.fail(at, finding, failure);
    }
    return findings;
  }

  private without(owners: string[]): Matcher[] {
    const gone = new Set(owners.map((owner) => owner.toLowerCase()));
    return this.matchers.filter(({ owner }) => !gone.has(owner.toLowerCase()));
  }

  /** May be cut off anywhere: `at` says where to go on. */
  private scan(lines: string[], findings: (LineFinding | undefined)[], at: Progress): void {
    while (at.line < lines.length) {
      const line = withoutColours(lines[at.line]!);
      for (; at.matcher < this.matchers.length; at.matcher++) {
        const matcher = this.matchers[at.matcher]!;
        const captured = matcher.match(line);
        if (captured === undefined) continue;
        for (const other of this.matchers) if (other !== matcher) other.reset();
        const finding = (findings[at.line] ??= { line, notes: [] });
        const problem = toProblem(captured, finding.notes);
        if (problem === undefined) continue;
        finding.problem = problem;
        break;
      }
      at.line++;
      at.matcher = 0;
    }
  }

  /** The matcher at work took too long, or is too much for the engine (`failure`). */
  private fail(at: Progress, finding: LineFinding, failure: string | undefined): void {
    const matcher = this.matchers[at.matcher];
    if (matcher === undefined) return;
    const count = (this.failures.get(matcher) ?? 0) + 1;
    this.failures.set(matcher, count);
    if (failure === undefined && count < MATCHER_FAILURES) {
      const text = `Timeout processing issue matcher '${matcher.owner}' against line '${finding.line}'.`;
      finding.notes.push({ kind: 'debug', text });
      return;
    }
    this.matchers = this.matchers.filter((one) => one !== matcher);
    const why = failure ?? `a regular expression took longer than ${MATCHER_TIMEOUT_MS} ms`;
    const times = failure === undefined ? ` Matcher failed ${MATCHER_FAILURES} times.` : '';
    finding.notes.push({
      kind: 'warning',
      text: `Removing issue matcher '${matcher.owner}'.${times} Error: ${why}`,
    });
  }
}
