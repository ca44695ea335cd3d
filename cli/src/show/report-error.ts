/** An error as people read it: what happened, where in their files, what to do. One screen. */
import type { CodedError, Problem } from '@onejob/protocol';
import { explainError } from '@onejob/protocol';
import { CliError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { safeText } from './style.ts';

/** Problems shown; a file with more has one cause most of the time. */
const SHOWN_PROBLEMS = 10;
/** Lines and length of everything else: a message that is longer hides its own beginning. */
const SHOWN_LINES = 12;
const LINE_CHARS = 1000;

/** Codes of other zones that are the user's to mend, and what the process then ends with. */
const EXIT_OF_CODE: Readonly<Record<string, ExitCode>> = {
  image_not_found: EXIT.invalidInput,
  image_in_use: EXIT.invalidInput,
  image_refused: EXIT.invalidInput,
  image_cancelled: EXIT.cancelled,
};

/** Writes the error, answers the exit code. */
export function reportError(error: unknown, stream: NodeJS.WritableStream): ExitCode {
  const { code, problems = [] } = (error ?? {}) as Partial<CodedError> & {
    problems?: readonly Problem[];
  };
  const isCoded = error instanceof Error && typeof code === 'string';
  const lines = explainWith(problems, isCoded ? explain(error) : explainFault(error));
  const places = problems.slice(0, SHOWN_PROBLEMS).map(placeOf);
  const hidden = problems.length - places.length;
  if (hidden > 0) places.push(`... and ${hidden} more`);
  const hint = error instanceof CliError ? error.hint : undefined;
  const [first = '', ...rest] = [
    ...lines,
    ...places.map((line) => `  ${line}`),
    ...(hint === undefined ? [] : [hint]),
  ];
  for (const line of [`onejob: ${first}`, ...rest]) {
    stream.write(`${safeText(line, false).slice(0, LINE_CHARS)}\n`);
  }
  if (error instanceof CliError) return error.exitCode;
  return EXIT_OF_CODE[code ?? ''] ?? EXIT.platform;
}

/** A message that only repeats the places gives way to a heading over them. */
function explainWith(problems: readonly Problem[], lines: readonly string[]): string[] {
  const [first] = problems;
  if (first !== undefined && lines.some((line) => line.startsWith(placeOf(first)))) {
    return ['The workflows cannot be run:'];
  }
  return lines.slice(0, SHOWN_LINES);
}

const placeOf = ({ file, line, column, message }: Problem): string =>
  `${file}:${line}:${column}: ${message.split('\n').join('\n    ')}`;

/** Our own sentences say all; what lies beneath is told where the platform, not the input, failed. */
function explain(error: Error): string[] {
  const isEnough =
    error instanceof CliError && (error.exitCode !== EXIT.platform || error.cause === undefined);
  return (isEnough ? error.message : explainError(error)).split('\n');
}

/** Neither the user nor a zone of ours foresaw it: where it happened helps whoever mends it. */
function explainFault(error: unknown): string[] {
  const stack = error instanceof Error ? (error.stack ?? '').split('\n').slice(1, 6) : [];
  return [
    ...explainError(error).split('\n').slice(0, 5),
    'This is a fault of onejob itself. Please report it with these lines:',
    ...stack,
  ];
}
