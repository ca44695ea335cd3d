/**
 * Reads what a step wrote to GITHUB_ENV, GITHUB_OUTPUT, GITHUB_STATE and GITHUB_PATH. Pure; the
 * rules and sentences are GitHub's ("Setting an environment variable", "Multiline strings").
 */
import { GuestError } from '../errors.ts';

const invalid = (message: string, quotedFrom?: string): GuestError =>
  new GuestError('step', message, quotedFrom === undefined ? {} : { quotedFrom });

/** Text up to the next line end, and where the line after it begins; -1: there is none. */
function readLine(text: string, from: number): { line: string; next: number } {
  const end = text.indexOf('\n', from);
  return end < 0
    ? { line: text.slice(from), next: -1 }
    : { line: text.slice(from, end), next: end + 1 };
}

/** The value of `name<<DELIMITER` (`head`) that begins at `from`; -1: the text has ended. */
function readHeredoc(
  text: string,
  from: number,
  delimiter: string,
  head: string,
): { value: string; next: number } {
  let at = from;
  while (at >= 0 && at < text.length) {
    const { line, next } = readLine(text, at);
    if (line === delimiter) return { value: text.slice(from, Math.max(from, at - 1)), next };
    if (next < 0) throw invalid('Invalid value. EOF marker missing new line.');
    at = next;
  }
  throw invalid(`Invalid value. Matching delimiter not found '${delimiter}'`, head);
}

/**
 * `NAME=value` and `NAME<<DELIMITER` blocks, in order; later ones win where they are applied. What
 * stands before a wrong line has been given when that is met, and counts.
 * @throws GuestError `step` with GitHub's sentence
 */
export function* readKeyValues(text: string): Generator<[string, string], void, void> {
  let at = text.charCodeAt(0) === 0xfeff ? 1 : 0;
  while (at >= 0 && at < text.length) {
    const { line, next } = readLine(text, at);
    at = next;
    if (line === '') continue;
    const equals = line.indexOf('=');
    const heredoc = line.indexOf('<<');
    if (heredoc >= 0 && (equals < 0 || heredoc < equals)) {
      const name = line.slice(0, heredoc);
      const delimiter = line.slice(heredoc + 2);
      if (name === '' || delimiter === '') {
        throw invalid(
          `Invalid format '${line}'. Name must not be empty and delimiter must not be empty`,
        );
      }
      const { value, next: after } = readHeredoc(text, next, delimiter, line);
      yield [name, value];
      at = after;
    } else if (equals > 0) {
      yield [line.slice(0, equals), line.slice(equals + 1)];
    } else if (equals === 0) {
      throw invalid(`Invalid format '${line}'. Name must not be empty`);
    } else {
      throw invalid(`Invalid format '${line}'`);
    }
  }
}

/**
 * Directories, in the order they were written; each later one comes first in PATH. Lines are those of
 * .NET's `File.ReadAllLines`, with which GitHub's runner reads them: a carriage return ends one too.
 */
export function parsePaths(text: string): string[] {
  const start = text.charCodeAt(0) === 0xfeff ? 1 : 0;
  return text
    .slice(start)
    .split(/[\r\n]/)
    .filter((line) => line !== '');
}

/** Names a step may not set for later ones: GitHub refuses it, as it would run code in actions. */
const REFUSED_NAMES = new Set(['NODE_OPTIONS']);

/** Why a name must not be set; undefined: it may. @throws GuestError `step`: it is no name */
export function whyNotVariable(name: string, fileVariable: string): string | undefined {
  if (name.includes('\0')) throw invalid('A name of a variable must not hold a NUL character.');
  if (!REFUSED_NAMES.has(name.toUpperCase())) return undefined;
  return `Can't store ${name} output parameter using '$${fileVariable}' command.`;
}
