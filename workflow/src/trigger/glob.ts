/**
 * GitHub's patterns for branches, tags and paths, matched in time proportional to pattern times
 * text, whatever the pattern.
 *
 *     *      any characters but `/`          **     any characters
 *     ?      the character before, or not    +      the character before, once or more
 *     [ab-c] one of these                    \x     x itself
 *
 * At the start of a directory `**` and its slash also stand for no directory at all: `**` + `/x`
 * matches `x`, and `a/` + `**` + `/x` matches `a/x`. Elsewhere the slash stays: `a**` + `/x` does not
 * match `ax`. A pattern matches the whole text, with case. `!` in front is the filter's, not the
 * pattern's.
 *
 * Source: "Filter pattern cheat sheet" of GitHub's workflow syntax. `*` and its kin are not
 * characters: `?` and `+` after them add nothing.
 */

type Accepts = (character: string) => boolean;

/** States of a machine that reads one character at a time; it starts in the first and ends in the last. */
type State = {
  edges: { accepts: Accepts; to: number }[];
  /** States later than this one that cost no character. */
  free: number[];
};

const anything: Accepts = () => true;
const notSlash: Accepts = (character) => character !== '/';
const exactly =
  (literal: string): Accepts =>
  (character) =>
    character === literal;

function oneOf(members: string[]): Accepts {
  const single = new Set<string>();
  const ranges: [string, string][] = [];
  for (let i = 0; i < members.length; i++) {
    const [from, dash, to] = members.slice(i, i + 3);
    if (from !== undefined && dash === '-' && to !== undefined) {
      ranges.push([from, to]);
      i += 2;
    } else if (from !== undefined) {
      single.add(from);
    }
  }
  return (character) =>
    single.has(character) || ranges.some(([from, to]) => from <= character && character <= to);
}

class Machine {
  readonly states: State[] = [{ edges: [], free: [] }];
  /** What `?` and `+` would change: the last part, when it is one character. */
  private last: { from: number; accepts: Accepts } | null = null;

  private get end(): number {
    return this.states.length - 1;
  }

  private edge(from: number, accepts: Accepts, to: number): void {
    this.states[from]?.edges.push({ accepts, to });
  }

  private open(): number {
    return this.states.push({ edges: [], free: [] }) - 1;
  }

  character(accepts: Accepts): void {
    const from = this.end;
    this.edge(from, accepts, this.open());
    this.last = { from, accepts };
  }

  /** `*` and `**`. */
  any(accepts: Accepts): void {
    const from = this.end;
    const to = this.open();
    this.states[from]?.free.push(to);
    this.edge(to, accepts, to);
    this.last = null;
  }

  /** `**` and its slash: directories, or nothing. */
  directories(): void {
    const from = this.end;
    const inside = this.open();
    const to = this.open();
    this.edge(from, anything, inside);
    this.edge(inside, anything, inside);
    this.edge(inside, exactly('/'), to);
    this.states[from]?.free.push(to);
    this.last = null;
  }

  /** False: there is nothing before it, so that it stands for itself. */
  quantify(quantifier: string): boolean {
    if (this.end === 0) return false;
    if (this.last === null) return true;
    if (quantifier === '?') this.states[this.last.from]?.free.push(this.end);
    else this.edge(this.end, this.last.accepts, this.end);
    return true;
  }
}

function compile(pattern: string): State[] {
  const characters = Array.from(pattern);
  const machine = new Machine();
  for (let i = 0; i < characters.length; i++) {
    const character = characters[i] ?? '';
    const close: number = character === '[' ? characters.indexOf(']', i + 1) : -1;
    if (character === '*') {
      const first = i;
      while (characters[i + 1] === '*') i++;
      const startsDirectory = first === 0 || characters[first - 1] === '/';
      if (i === first) machine.any(notSlash);
      else if (!startsDirectory || characters[i + 1] !== '/') machine.any(anything);
      else {
        machine.directories();
        i++;
      }
    } else if (close > i + 1) {
      machine.character(oneOf(characters.slice(i + 1, close)));
      i = close;
    } else if (character === '\\' && i + 1 < characters.length) {
      machine.character(exactly(characters[++i] ?? ''));
    } else if ((character !== '?' && character !== '+') || !machine.quantify(character)) {
      machine.character(exactly(character));
    }
  }
  return machine.states;
}

/** Marks a state and every state that can be reached from it without a character. */
function enter(states: State[], reached: Uint8Array, from: number): void {
  const pending = [from];
  for (let at = pending.pop(); at !== undefined; at = pending.pop()) {
    if (reached[at] === 1) continue;
    reached[at] = 1;
    pending.push(...(states[at]?.free ?? []));
  }
}

/** Whether a pattern matches the whole of a text. */
export function matchesPattern(pattern: string, text: string): boolean {
  const states = compile(pattern);
  let reached = new Uint8Array(states.length);
  enter(states, reached, 0);
  for (const character of text) {
    const next = new Uint8Array(states.length);
    states.forEach(({ edges }, at) => {
      if (reached[at] === 0) return;
      for (const { accepts, to } of edges) if (accepts(character)) enter(states, next, to);
    });
    reached = next;
  }
  return reached[states.length - 1] === 1;
}
