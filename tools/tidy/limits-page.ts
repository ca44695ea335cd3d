/**
 * The rule about `docs/limits.md`: each row of its tables says a number and names the constant that it
 * is, `NAME` in `file`; both are the same. A row without a constant is a limit that nobody checks.
 */

import type { TextFile } from './repository.ts';
import type { Violation } from './rule.ts';

const ROW = /^\| (?!---|what )([^|]+) \| ([^|]+) \| ([^|]*) \|$/;
const NUMBER = /^([\d,]+)(?: (KiB|MiB|GiB|seconds?|minutes?|hours?|days?|[a-z ]+))?(?:,.*)?$/;
const CONSTANT = /^`(\w+)` in `([^`]+)`$/;

const SECOND_MS = 1000;
/** By the unit without its plural; others count by one. */
const UNITS: Readonly<Record<string, number>> = {
  KiB: 1024,
  MiB: 1024 ** 2,
  GiB: 1024 ** 3,
  second: SECOND_MS,
  minute: 60 * SECOND_MS,
  hour: 3600 * SECOND_MS,
  day: 24 * 3600 * SECOND_MS,
};

/** As code has it: bytes, milliseconds, or a count. */
function readNumber(text: string): number | undefined {
  const [, digits, unit = ''] = NUMBER.exec(text) ?? [];
  if (digits === undefined) return undefined;
  return Number(digits.replaceAll(',', '')) * (UNITS[unit.replace(/s$/, '')] ?? 1);
}

/** @param valueOf what a file exports under a name; undefined: nothing */
export function checkLimitsPage(
  page: TextFile,
  valueOf: (file: string, name: string) => unknown,
): Violation[] {
  const rows = page.text.split('\n').flatMap((text, index) => {
    const [, what, limit, constant] = ROW.exec(text) ?? [];
    if (what === undefined || limit === undefined || constant === undefined) return [];
    return [{ line: index + 1, what, limit, constant }];
  });
  const violation = (line: number, subject: string, message: string): Violation => ({
    rule: 'limits page',
    file: page.path,
    line,
    subject,
    message,
  });
  if (rows.length === 0) return [violation(1, '', 'There is no limit on the page.')];
  return rows.flatMap(({ line, what, limit, constant }) => {
    const [, name, file] = CONSTANT.exec(constant) ?? [];
    if (name === undefined || file === undefined) {
      return [violation(line, what, 'Name the constant: `NAME` in `file`.')];
    }
    const value = valueOf(file, name);
    if (value === undefined) return [violation(line, what, `${file} has no ${name}.`)];
    if (readNumber(limit) === value) return [];
    return [violation(line, what, `The page says ${limit}, the code ${JSON.stringify(value)}.`)];
  });
}
