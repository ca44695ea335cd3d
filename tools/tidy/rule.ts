/**
 * What a repository rule answers, and the way around a rule: an exception, which is listed with its
 * reason and fails itself once nothing needs it.
 */

export interface Violation {
  /** The rule's name, e.g. `function-length`. */
  readonly rule: string;
  readonly file: string;
  readonly line: number;
  /** What exactly offends: a function, a specifier, a word. An exception names it. */
  readonly subject: string;
  /** What is wrong and why that is a rule. */
  readonly message: string;
}

export interface Exception {
  readonly rule: string;
  readonly file: string;
  /** As in the violation; without it the whole file is excepted from the rule. */
  readonly subject?: string;
  readonly reason: string;
}

function covers(exception: Exception, violation: Violation): boolean {
  return (
    exception.rule === violation.rule &&
    exception.file === violation.file &&
    (exception.subject === undefined || exception.subject === violation.subject)
  );
}

/** The violations that no exception covers, and a violation for each exception that covers none. */
export function applyExceptions(
  violations: readonly Violation[],
  exceptions: readonly Exception[],
): Violation[] {
  const open = violations.filter((one) => !exceptions.some((exception) => covers(exception, one)));
  const unneeded = exceptions.filter(
    (exception) => !violations.some((one) => covers(exception, one)),
  );
  return [
    ...open,
    ...unneeded.map((exception) => ({
      rule: 'exceptions',
      file: exception.file,
      line: 1,
      subject: exception.rule,
      message: `the exception from "${exception.rule}" is no longer needed: remove it from tools/tidy/exceptions.ts`,
    })),
  ];
}

/** One line for people. */
export function formatViolation(one: Violation): string {
  return `${one.file}:${one.line}  [${one.rule}] ${one.message}`;
}
