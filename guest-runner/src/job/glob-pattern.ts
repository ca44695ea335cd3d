/**
 * One pattern of `hashFiles`, read and matched as by `@actions/glob`, of which GitHub's runner makes that
 * function: `*`, `?`, `[...]`, `**` between slashes, `\` before a sign, `!` in front to exclude, `~` for the
 * home directory. Names that begin with a dot are like others. What matches a directory matches all
 * in it. Pure; linear in the path times the pattern.
 */
import { GuestError } from '../errors.ts';

type Accepts = (character: string) => boolean;
/** Of a name: any characters, or one. */
type Token = 'star' | Accepts;
/** Any number of names, or one that is like this. */
type Segment = 'stars' | Token[];

export type GlobPattern = {
  negate: boolean;
  /** From the root. */
  segments: Segment[];
  /** It ends in a slash: a file of that name is not meant. */
  isOfDirectories: boolean;
  /** What is written out before the first wildcard, from the root. */
  searchNames: string[];
};

export const namesOf = (path: string): string[] => path.split('/').filter((name) => name !== '');

const literally =
  (wanted: string): Accepts =>
  (character) =>
    character === wanted;

/** `[...]` that begins at `from`; undefined: it has no end, and the bracket stands for itself. */
function readSet(text: string, from: number): { accepts: Accepts; end: number } | undefined {
  const isNegated = text[from + 1] === '!' || text[from + 1] === '^';
  const members: string[] = [];
  let at = from + (isNegated ? 2 : 1);
  for (; at < text.length && (text[at] !== ']' || members.length === 0); at++) {
    if (text[at] === '\\' && at + 1 < text.length) at++;
    const first = text[at] ?? '';
    const isRange = text[at + 1] === '-' && at + 2 < text.length && text[at + 2] !== ']';
    if (isRange) at += 2;
    if (isRange && text[at] === '\\') at++;
    members.push(first + (isRange ? (text[at] ?? '') : first));
  }
  if (at >= text.length) return undefined;
  const accepts: Accepts = (character) =>
    members.some((range) => range[0]! <= character && character <= range[1]!) !== isNegated;
  return { accepts, end: at };
}

function compile(segment: string): Segment {
  if (segment === '**') return 'stars';
  const tokens: Token[] = [];
  for (let at = 0; at < segment.length; at++) {
    const character = segment[at] ?? '';
    const set = character === '[' ? readSet(segment, at) : undefined;
    if (character === '*') {
      if (tokens.at(-1) !== 'star') tokens.push('star');
    } else if (character === '?') {
      tokens.push(() => true);
    } else if (set !== undefined) {
      tokens.push(set.accepts);
      at = set.end;
    } else if (character === '\\' && at + 1 < segment.length) {
      tokens.push(literally(segment[++at] ?? ''));
    } else {
      tokens.push(literally(character));
    }
  }
  return tokens;
}

/** The one name that a segment stands for; undefined: it has wildcards. A set of one is that one. */
function literalOf(segment: string): string | undefined {
  let literal = '';
  for (let at = 0; at < segment.length; at++) {
    let character = segment[at] ?? '';
    if (character === '*' || character === '?') return undefined;
    const set = character === '[' ? /^\[((?:\\.|[^\]\\])*)\]/s.exec(segment.slice(at)) : null;
    const members = set?.[1]?.replaceAll(/\\(.)/gs, '$1') ?? '';
    if (members.length > 1) return undefined;
    if (set !== null && members !== '') {
      character = members;
      at += set[0].length - 1;
    } else if (character === '\\' && at + 1 < segment.length) {
      character = segment[++at] ?? '';
    }
    literal += character;
  }
  return literal;
}

/**
 * @param line trimmed, not empty
 * @param workspace absolute: where a pattern without a slash in front begins
 * @throws GuestError `step` with the sentence of `@actions/glob`
 */
export function readPattern(line: string, workspace: string, home: string): GlobPattern {
  let text = line;
  let negate = false;
  for (; text.startsWith('!'); negate = !negate) text = text.slice(1).trim();
  if (text === '') throw new GuestError('step', 'pattern cannot be empty');
  const written = namesOf(text);
  const literals = written.map(literalOf);
  const isRooted = text.startsWith('/');
  if (literals.includes('..') || literals.includes('.', isRooted ? 0 : 1)) {
    const why = "Relative pathing '.' and '..' is not allowed.";
    throw new GuestError('step', `Invalid pattern '${text}'. ${why}`);
  }
  let base = isRooted ? [] : namesOf(workspace);
  if (written[0] === '~' && !isRooted) base = namesOf(home);
  if ((written[0] === '~' || written[0] === '.') && !isRooted) {
    written.shift();
    literals.shift();
  }
  const glob = literals.indexOf(undefined);
  const searched = literals.slice(0, glob < 0 ? undefined : glob) as string[];
  return {
    negate,
    segments: [...base.map((name) => name.split('').map(literally)), ...written.map(compile)],
    isOfDirectories: text.endsWith('/') && text !== '/',
    searchNames: [...base, ...searched],
  };
}

function matchesName(tokens: Token[], name: string): boolean {
  let [token, at, star, mark] = [0, 0, -1, 0];
  while (at < name.length) {
    const wanted = tokens[token];
    if (wanted === 'star') {
      star = token++;
      mark = at;
    } else if (wanted?.(name[at]!) === true) {
      token++;
      at++;
    } else if (star >= 0) {
      token = star + 1;
      at = ++mark;
    } else {
      return false;
    }
  }
  while (tokens[token] === 'star') token++;
  return token === tokens.length;
}

/**
 * How a path stands to a pattern: the pattern means it or all of a directory above it, or it may
 * mean something below it, or neither.
 */
export function standing(
  { segments, isOfDirectories }: GlobPattern,
  names: readonly string[],
): 'meant' | 'above' | 'neither' {
  const withStars = (places: Set<number>): Set<number> => {
    for (const place of places) if (segments[place] === 'stars') places.add(place + 1);
    return places;
  };
  let reached = withStars(new Set([0]));
  for (const name of names) {
    if (reached.has(segments.length)) return 'meant';
    const next = new Set<number>();
    for (const place of reached) {
      const segment = segments[place];
      if (segment === 'stars') next.add(place);
      else if (segment !== undefined && matchesName(segment, name)) next.add(place + 1);
    }
    reached = withStars(next);
  }
  if (reached.has(segments.length) && !isOfDirectories) return 'meant';
  return reached.size > 0 ? 'above' : 'neither';
}
