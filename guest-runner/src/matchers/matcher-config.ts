/**
 * Reads the JSON of problem matchers and says what is wrong with it, with GitHub's sentences and in
 * GitHub's order. As there, comments and trailing commas are let through, and keys match in any case.
 *
 *     { "problemMatcher": [{ "owner", "severity"?, "pattern": [{ "regexp", "message", ... }] }] }
 *
 * Regular expressions are JavaScript's; GitHub's are .NET's in ECMAScript mode, which is the same for
 * all that both know. `(?i)` at the beginning is understood; what JavaScript does not know is refused.
 */
import { GuestError, messageOf } from '../errors.ts';
import {
  MATCHER_PATTERNS,
  MATCHER_REGEXP_CHARACTERS,
  MATCHER_TIMEOUT_MS,
  MATCHERS_PER_JOB,
} from '../limits.ts';
import type { TimeGuard } from './time-guard.ts';

const PROPERTIES = ['file', 'line', 'column', 'severity', 'code', 'message', 'fromPath'] as const;
export type Property = (typeof PROPERTIES)[number];

export type PatternConfig = {
  regexp: RegExp;
  /** Numbers of groups; 0 is the whole match. */
  groups: Partial<Record<Property, number>>;
  loop: boolean;
};
export type MatcherConfig = { owner: string; severity: string; patterns: PatternConfig[] };

const bad = (message: string): GuestError => new GuestError('step', message);

/** Comments are dropped outside of strings, then commas before a closing bracket. */
function lenient(text: string): string {
  const string = '"(?:[^"\\\\]|\\\\.)*"';
  const comment = '//.*|/\\*[^]*?(?:\\*/|$)';
  const keepStrings = (part: string): string => (part.startsWith('"') ? part : ' ');
  return text
    .replace(new RegExp(`${string}|${comment}`, 'g'), keepStrings)
    .replace(new RegExp(`${string}|,(?=\\s*[}\\]])`, 'g'), keepStrings);
}

function parseJson(text: string): unknown {
  const plain = text.replace(/^\ufeff/, '');
  try {
    return JSON.parse(plain);
  } catch (error) {
    try {
      return JSON.parse(lenient(plain));
    } catch {
      throw bad(`The problem matcher file is not valid JSON${placeOf(error, plain)}.`);
    }
  }
}

/** Where the reader gave up; its own sentence quotes what stands there. */
function placeOf(error: unknown, text: string): string {
  const position = /at position (\d+)/.exec(messageOf(error))?.[1];
  if (position === undefined) return '';
  const before = text.slice(0, Number(position)).split('\n');
  return ` (line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1})`;
}

/** A member by name: written like this, or else in another case. Null counts as missing. */
function member(of: object, name: string): unknown {
  const entries = Object.entries(of);
  const exact = entries.find(([key]) => key === name);
  const wanted = name.toLowerCase();
  const found = exact ?? entries.find(([key]) => key.toLowerCase() === wanted);
  return found?.[1] ?? undefined;
}

function listOf(of: object, name: string, limit: number): object[] {
  const value = member(of, name);
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw bad(`The property '${name}' must be a list.`);
  if (value.length > limit) throw bad(`The property '${name}' has more than ${limit} entries.`);
  for (const one of value) {
    if (one === null || typeof one !== 'object' || Array.isArray(one)) {
      throw bad(`Each entry of '${name}' must be an object.`);
    }
  }
  return value as object[];
}

function textOf(of: object, name: string): string {
  const value = member(of, name);
  if (value === undefined) return '';
  if (typeof value === 'object') throw bad(`The property '${name}' must be a text.`);
  return typeof value === 'string' ? value : JSON.stringify(value);
}

function numberOf(of: object, name: string): number | undefined {
  const value = member(of, name);
  if (value === undefined) return undefined;
  if (Number.isInteger(value)) return value as number;
  if (typeof value === 'string' && /^-?\d{1,9}$/.test(value.trim())) return Number(value);
  throw bad(`The property '${name}' must be the number of a group.`);
}

function isLoop(of: object): boolean {
  const value = member(of, 'loop');
  if (value === undefined || typeof value === 'boolean') return value ?? false;
  if (typeof value === 'string' && /^(?:true|false)$/i.test(value)) return /^t/i.test(value);
  throw bad("The property 'loop' must be true or false.");
}

/** The expression and how many groups it has, the whole match counted. */
function compile(source: string, guard: TimeGuard): { regexp: RegExp; groupCount: number } {
  if (source.length > MATCHER_REGEXP_CHARACTERS) {
    throw bad(`A 'regexp' is longer than ${MATCHER_REGEXP_CHARACTERS} characters.`);
  }
  const options = /^\(\?([im]+)\)/.exec(source);
  const flags = [...new Set(options?.[1] ?? '')].join('');
  const body = source.slice(options?.[0].length ?? 0);
  let groupCount = 0;
  try {
    const regexp = new RegExp(body, flags);
    // The empty alternative always matches, so the answer has all groups. It compiles, too.
    const count = (): void => {
      groupCount = new RegExp(`${body}|`, flags).exec('')!.length;
    };
    if (!guard.run(count, MATCHER_TIMEOUT_MS)) throw new Error('it takes too long to compile');
    return { regexp, groupCount };
  } catch (error) {
    throw bad(
      `The regular expression '${source}' cannot be used: ${messageOf(error)}. ` +
        'Problem matchers run here with the regular expressions of JavaScript.',
    );
  }
}

type Place = { isFirst: boolean; isLast: boolean };

function readPattern(
  raw: object,
  { isFirst, isLast }: Place,
  set: Set<Property>,
  guard: TimeGuard,
): PatternConfig {
  const loop = isLoop(raw);
  if (loop && (isFirst || !isLast)) {
    throw bad("Only the last pattern in a multiline matcher may set 'loop'");
  }
  if (loop && numberOf(raw, 'message') === undefined) {
    throw bad("The loop pattern must set 'message'");
  }
  const { regexp, groupCount } = compile(textOf(raw, 'regexp'), guard);
  const groups: PatternConfig['groups'] = {};
  for (const name of PROPERTIES) {
    const group = numberOf(raw, name);
    if (group === undefined) continue;
    if (set.has(name)) throw bad(`The property '${name}' is set twice`);
    if (group < 0 || group >= groupCount) {
      throw bad(`The property '${name}' is set to ${group} which is out of range`);
    }
    set.add(name);
    groups[name] = group;
  }
  return { regexp, groups, loop };
}

function readMatcher(raw: object, guard: TimeGuard): MatcherConfig {
  const owner = textOf(raw, 'owner');
  if (owner === '') throw bad('Owner must not be empty');
  const severity = textOf(raw, 'severity');
  if (!['', 'error', 'warning', 'notice'].includes(severity.toLowerCase())) {
    throw bad(`Matcher '${owner}' contains unexpected default severity '${severity}'`);
  }
  const raws = listOf(raw, 'pattern', MATCHER_PATTERNS);
  if (raws.length === 0) throw bad(`Matcher '${owner}' does not contain any patterns`);
  const set = new Set<Property>();
  const patterns = raws.map((one, index) =>
    readPattern(one, { isFirst: index === 0, isLast: index === raws.length - 1 }, set, guard),
  );
  if (!set.has('message')) throw bad("At least one pattern must set 'message'");
  return { owner, severity, patterns };
}

function rawMatchers(text: string): object[] {
  const json = parseJson(text);
  if (json === null) return [];
  if (typeof json !== 'object' || Array.isArray(json)) {
    throw bad("The problem matcher file must be an object with a list 'problemMatcher'.");
  }
  return listOf(json, 'problemMatcher', MATCHERS_PER_JOB);
}

/** Values are quoted as they were read, a number not as it is written. */
function quoting<T>(text: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new GuestError('step', messageOf(error), { cause: error, quotedFrom: text });
  }
}

/** @throws GuestError `step` with what is wrong */
export function parseMatchers(text: string, guard: TimeGuard): MatcherConfig[] {
  return quoting(text, () => {
    const owners = new Set<string>();
    return rawMatchers(text).map((raw) => {
      const matcher = readMatcher(raw, guard);
      const key = matcher.owner.toLowerCase();
      if (owners.has(key)) throw bad(`Duplicate owner name '${matcher.owner}'`);
      owners.add(key);
      return matcher;
    });
  });
}

/** The owners only: a file that names what to remove need not be valid otherwise. @throws GuestError */
export const parseOwners = (text: string): string[] =>
  quoting(text, () => rawMatchers(text).map((raw) => textOf(raw, 'owner')));
