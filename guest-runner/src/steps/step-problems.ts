/**
 * Problem matchers for one step: reads its lines, makes annotations of what the job's matchers find,
 * and says how the lines are shown. Also does what `::add-matcher::` and `::remove-matcher::` ask for.
 *
 * A line is masked before it is matched. So an annotation never says what the log does not, even if
 * an expression cuts a secret in two; and a matcher cannot look for a secret.
 */
import { resolve } from 'node:path';
import type { SecretMasker } from '@onejob/masking';
import type { Annotation } from '@onejob/protocol';
import { MATCHER_FILE_BYTES } from '../limits.ts';
import type { LineReader, LineVerdict } from '../logs/output-lines.ts';
import { withoutColours } from '../matchers/problem-matchers.ts';
import type { LineFinding, Problem, ProblemMatchers } from '../matchers/problem-matchers.ts';
import type { RepositoryFiles } from '../matchers/repository-files.ts';
import { readSmallFile } from '../matchers/small-file.ts';

type ProblemParts = {
  matchers: ProblemMatchers;
  files: RepositoryFiles;
  masker: SecretMasker;
  workspace: string;
  showDebug: boolean;
  annotate(annotation: Annotation): void;
};

/** As GitHub reads numbers: digits only, 32 bits. */
const MAX_NUMBER = 2 ** 31 - 1;

export class StepProblems implements LineReader {
  private readonly parts: ProblemParts;

  constructor(parts: ProblemParts) {
    this.parts = parts;
    parts.matchers.reset();
    parts.files.forget();
  }

  isActive(): boolean {
    return !this.parts.matchers.isEmpty;
  }

  read(lines: string[]): (LineVerdict | undefined)[] {
    const findings = this.parts.matchers.match(lines.map((line) => this.mask(line)));
    return findings.map((finding) => finding && this.judge(finding));
  }

  /** A path is below the workspace or absolute. Gives the owners. @throws GuestError `step` */
  add(path: string): string[] {
    return this.parts.matchers.add(this.file(path));
  }

  /** @throws GuestError `step` */
  removeFile(path: string): string[] {
    return this.parts.matchers.removeFile(this.file(path));
  }

  removeOwner(owner: string): string[] {
    return this.parts.matchers.remove([owner]);
  }

  private file(path: string): string {
    return readSmallFile(resolve(this.parts.workspace, path), MATCHER_FILE_BYTES);
  }

  /** Again without colours: they may have stood inside a secret. */
  private mask(line: string): string {
    const { masker } = this.parts;
    const masked = masker.maskText(line);
    const plain = withoutColours(masked);
    return plain === masked ? masked : masker.maskText(plain);
  }

  private judge({ line, problem, notes }: LineFinding): LineVerdict {
    const before: string[] = [];
    const debug = (text: string): void => {
      if (this.parts.showDebug) before.push(`##[debug]${text}`);
    };
    for (const { kind, text } of notes) {
      if (kind === 'debug') {
        debug(text);
        continue;
      }
      before.push(`##[warning]${text}`);
      this.parts.annotate({ level: 'warning', message: text });
    }
    if (problem === undefined) return { before };
    this.parts.annotate(this.toAnnotation(problem, debug));
    return { before, instead: `##[${problem.level}]${line}` };
  }

  /** The code is not part of it, as on GitHub: its annotations have no place for one. */
  private toAnnotation(problem: Problem, debug: (text: string) => void): Annotation {
    const annotation: Annotation = { level: problem.level, message: problem.message };
    for (const name of ['line', 'column'] as const) {
      const text = problem[name];
      if (!text) continue;
      const value = /^\d{1,10}$/.test(text) ? Number(text) : Infinity;
      if (value <= MAX_NUMBER) annotation[name] = value;
      else debug(`Unable to parse ${name} number '${text}'`);
    }
    if (problem.file === undefined || problem.file.trim() === '') return annotation;
    const found = this.parts.files.find(problem.file, problem.fromPath);
    if ('path' in found) annotation.file = found.path;
    else debug(found.dropped);
    return annotation;
  }
}
