// One stream of bytes with the secrets of a table masked out of it.
//
// What it promises. All places where a form of the table occurs in the text are masked. Places that
// overlap or touch are one region; every region becomes one `***`, everything else passes. The
// concatenated output is the same however the input is cut into chunks. What is held back is exactly
// the longest end of the text that begins a form and is not yet all of it. Time is linear in the
// bytes: each is looked at a bounded number of times (`work` counts), whatever the secrets and text.
//
// How. The exact scan steps the automaton byte by byte. While nothing is under way, the gram filter
// skips ahead; where it says "maybe" at a place p, the exact scan starts early enough for every form
// that holds p, and may stop when all those are dead and what is under way is short.
//
//     exact --(no start <= p alive, depth <= resumeDepth, enough bytes left)--> skip
//     skip  --(filter: maybe at p, or less than a gram left)--> exact
//
// Regions wait until the bytes before them can be decided: a longer secret may still swallow them.

import type { SecretTable } from './secret-table.ts';

const asterisk = 42;

/** States up to this depth are left for the skip loop; it then reads so many bytes again at most. */
const resumeDepth = 4;
/** Fewer bytes are not worth skipping: the exact scan has to read the last of them anyway. */
const minSkipBytes = 16;
const nothing = new Uint8Array(0);

export class MaskStream {
  readonly #table: SecretTable;
  #generation: number;
  #state = 0;

  // Bytes held back: #buffer[#heldFrom..#heldTo). Positions in the text are absolute numbers.
  #buffer = nothing;
  #heldFrom = 0;
  #heldTo = 0;
  #emitted = 0;

  // Regions that begin at or after #emitted, ascending and apart; the first #regionsDone are gone.
  #starts: number[] = [];
  #ends: number[] = [];
  #regionsDone = 0;
  #maskedUntil = -1;
  #maskedRegions = 0;
  #work = 0;

  constructor(table: SecretTable) {
    this.#table = table;
    this.#generation = table.generation;
  }

  /** Bytes taken but not yet given back, because they may be the beginning of a secret. */
  get heldBytes(): number {
    return this.#heldTo - this.#heldFrom;
  }

  /** How many `***` were written so far. */
  get maskedRegions(): number {
    return this.#maskedRegions;
  }

  /** Bytes stepped over by the exact scan and bytes moved while held: a few times the input. */
  get work(): number {
    return this.#work;
  }

  /**
   * Takes the next bytes and gives those that are safe to show now. The result may share memory with
   * `chunk` (then it is a part of it, unchanged): do not reuse the chunk before the result is used.
   */
  push(chunk: Uint8Array): Uint8Array {
    this.#followTable();
    if (chunk.length === 0) return nothing;
    if (this.heldBytes === 0) {
      this.#scan(chunk, 0, chunk.length, this.#emitted);
      const safe = chunk.length - this.#table.depth(this.#state);
      const out = this.#emit(chunk, 0, safe);
      if (safe < chunk.length) this.#hold(chunk.subarray(safe));
      return out;
    }
    const from = this.#hold(chunk);
    this.#scan(this.#buffer, from, this.#heldTo, this.#emitted - this.#heldFrom);
    return this.#emitHeld(this.#heldTo - this.#table.depth(this.#state));
  }

  /** Ends the text (a line, a stream): gives all that was held back. What follows is a new text. */
  flush(): Uint8Array {
    this.#followTable();
    const out = this.#emitHeld(this.#heldTo);
    this.#state = 0;
    this.#maskedUntil = -1;
    return out;
  }

  /**
   * Forms were added: held bytes may contain some. The state stays right, as held bytes are exactly
   * the path to it and states keep their numbers; so scanning them again from the root leads to it.
   */
  #followTable(): void {
    if (this.#generation === this.#table.generation) return;
    this.#generation = this.#table.generation;
    if (this.heldBytes === 0) return;
    this.#starts.length = this.#ends.length = this.#regionsDone = 0;
    this.#state = 0;
    this.#scan(this.#buffer, this.#heldFrom, this.#heldTo, this.#emitted - this.#heldFrom);
  }

  /** Scans bytes[from..to); `origin` is the position in the text of bytes[0]. */
  #scan(bytes: Uint8Array, from: number, to: number, origin: number): void {
    const table = this.#table;
    const filter = table.filter;
    filter.prepare();
    let state = this.#state;
    let depth = table.depth(state);
    let at = from;
    let work = 0;
    let known = from; // occurrences that end up to here are recorded
    let guard = Number.NEGATIVE_INFINITY; // the exact scan must outlive starts up to here
    while (at < to) {
      if (depth <= resumeDepth && to - at >= minSkipBytes && at - depth > guard) {
        known = Math.max(known, at);
        const stride = filter.stride;
        guard = filter.next(bytes, at - depth + stride - 1, to - filter.gramBytes);
        at = guard - stride + 1;
        state = 0;
      }
      state = table.step(state, bytes[at]!);
      at++;
      work++;
      const length = table.longest(state);
      if (length !== 0) {
        if (at > known) this.#addRegion(origin + at - length, origin + at);
        state = table.open(state);
      }
      depth = table.depth(state);
    }
    this.#state = state;
    this.#work += work;
  }

  /** Ends come in ascending order, so only the last regions can overlap or touch the new one. */
  #addRegion(from: number, end: number): void {
    let start = from;
    while (this.#ends.length > this.#regionsDone && this.#ends.at(-1)! >= start) {
      start = Math.min(start, this.#starts.pop()!);
      this.#ends.pop();
    }
    this.#starts.push(start);
    this.#ends.push(end);
  }

  #emitHeld(to: number): Uint8Array {
    let out = this.#emit(this.#buffer, this.#heldFrom, to);
    if (out.buffer === this.#buffer.buffer) out = out.slice();
    this.#heldFrom = to;
    if (this.#heldFrom === this.#heldTo) this.#heldFrom = this.#heldTo = 0;
    return out;
  }

  /** Gives bytes[from..to) with its regions masked; bytes[from] is at #emitted. */
  #emit(bytes: Uint8Array, from: number, to: number): Uint8Array {
    const origin = this.#emitted - from;
    const until = origin + to;
    let regionsEnd = this.#regionsDone;
    while (regionsEnd < this.#starts.length && this.#starts[regionsEnd]! < until) regionsEnd++;
    if (regionsEnd === this.#regionsDone && this.#maskedUntil <= this.#emitted) {
      this.#emitted = until;
      return bytes.subarray(from, to);
    }
    const out = new Uint8Array(to - from + (regionsEnd - this.#regionsDone) * 3);
    let length = 0;
    let at = Math.min(Math.max(this.#emitted, this.#maskedUntil), until);
    for (let i = this.#regionsDone; i < regionsEnd; i++) {
      const start = this.#starts[i]!;
      length = copy(bytes, at - origin, start - origin, out, length);
      if (start > this.#maskedUntil) {
        out.fill(asterisk, length, (length += 3));
        this.#maskedRegions++;
      }
      this.#maskedUntil = Math.max(this.#maskedUntil, this.#ends[i]!);
      at = Math.min(this.#maskedUntil, until);
    }
    length = copy(bytes, at - origin, to, out, length);
    this.#emitted = until;
    this.#dropRegions(regionsEnd);
    return out.subarray(0, length);
  }

  #dropRegions(done: number): void {
    this.#regionsDone = done;
    if (done * 2 < this.#starts.length) return;
    this.#starts = this.#starts.slice(done);
    this.#ends = this.#ends.slice(done);
    this.#regionsDone = 0;
  }

  /** Appends to the held bytes (amortized constant per byte) and gives the index they begin at. */
  #hold(bytes: Uint8Array): number {
    if (this.#heldTo + bytes.length > this.#buffer.length) {
      const held = this.#buffer.subarray(this.#heldFrom, this.#heldTo);
      const wanted = 2 * (held.length + bytes.length);
      if (wanted > this.#buffer.length) this.#buffer = new Uint8Array(Math.max(wanted, 1024));
      this.#buffer.set(held);
      this.#heldTo = held.length;
      this.#heldFrom = 0;
      this.#work += held.length;
    }
    const from = this.#heldTo;
    this.#buffer.set(bytes, from);
    this.#heldTo += bytes.length;
    return from;
  }
}

function copy(
  bytes: Uint8Array,
  from: number,
  to: number,
  out: Uint8Array,
  length: number,
): number {
  if (to <= from) return length;
  out.set(bytes.subarray(from, to), length);
  return length + to - from;
}
