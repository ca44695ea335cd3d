/**
 * Cuts a step's output into lines for those who look at whole lines, and gives it on with what they
 * say about each. Without anybody who looks, bytes pass as they come.
 *
 * Promises: bytes that nobody replaced are given on in order, once; at most MATCHED_LINE_BYTES are
 * held. A longer line passes unseen. Lines end as for GitHub: at \n, \r\n or a \r alone.
 */
import { MATCHED_LINE_BYTES } from '../limits.ts';

/** What is shown before a line, and what instead of it. Both without line ends. */
export type LineVerdict = { before: string[]; instead?: string };

export type LineReader = {
  isActive(): boolean;
  /** For each line, without its end; undefined: it is shown as it is. */
  read(lines: string[]): (LineVerdict | undefined)[];
};

type OutputSink = { text(bytes: Buffer): void; line(text: string): void };
/** Of bytes: from, to (without the end), and where the next line begins. */
type Piece = { from: number; to: number; next: number };

const NEWLINE = 10;
const CARRIAGE_RETURN = 13;
const NOTHING = Buffer.alloc(0);

/** The next line from `from`; undefined: no end is there yet, or a \r may still become \r\n. */
function nextPiece(bytes: Buffer, from: number, isAll: boolean): Piece | undefined {
  let to = from;
  while (to < bytes.length && bytes[to] !== NEWLINE && bytes[to] !== CARRIAGE_RETURN) to++;
  if (to === bytes.length) return isAll && to > from ? { from, to, next: to } : undefined;
  if (bytes[to] === NEWLINE) return { from, to, next: to + 1 };
  if (to + 1 === bytes.length && !isAll) return undefined;
  return { from, to, next: bytes[to + 1] === NEWLINE ? to + 2 : to + 1 };
}

export class OutputLines {
  reader: LineReader | undefined;
  private readonly sink: OutputSink;
  private held: Buffer = NOTHING;
  /** Inside a line of which a part was given on already. */
  private inLine = false;

  constructor(sink: OutputSink) {
    this.sink = sink;
  }

  push(chunk: Buffer): void {
    if (this.reader?.isActive() !== true) {
      this.release();
      const last = chunk.at(-1);
      if (last !== undefined) this.inLine = last !== NEWLINE && last !== CARRIAGE_RETURN;
      return this.sink.text(chunk);
    }
    const bytes = this.held.length === 0 ? chunk : Buffer.concat([this.held, chunk]);
    this.held = NOTHING;
    const rest = this.take(bytes, false);
    if (bytes.length - rest <= MATCHED_LINE_BYTES && !this.inLine) {
      this.held = Buffer.from(bytes.subarray(rest));
      return;
    }
    this.inLine = true;
    this.sink.text(bytes.subarray(rest));
  }

  /** The output ended: what is held is a line too. */
  flush(): void {
    if (this.reader?.isActive() !== true) this.release();
    const { held } = this;
    this.held = NOTHING;
    if (held.length > 0) this.take(held, true);
    this.inLine = false;
  }

  /** Gives on what is held, unseen. */
  release(): void {
    const { held } = this;
    this.held = NOTHING;
    if (held.length === 0) return;
    this.inLine = true;
    this.sink.text(held);
  }

  /** Gives on all whole lines; gives where the rest begins. */
  private take(bytes: Buffer, isAll: boolean): number {
    const pieces: Piece[] = [];
    let from = 0;
    for (;;) {
      const piece = nextPiece(bytes, from, isAll);
      if (piece === undefined) break;
      if (!this.inLine && piece.to - piece.from <= MATCHED_LINE_BYTES) pieces.push(piece);
      this.inLine = false;
      from = piece.next;
    }
    const lines = pieces.map((piece) => bytes.toString('utf8', piece.from, piece.to));
    const verdicts = lines.length === 0 ? [] : this.reader!.read(lines);
    let given = 0;
    const give = (to: number): void => {
      if (to > given) this.sink.text(bytes.subarray(given, to));
      given = to;
    };
    for (const [index, piece] of pieces.entries()) {
      const verdict = verdicts[index];
      if (verdict === undefined) continue;
      give(piece.from);
      for (const line of verdict.before) this.sink.line(line);
      if (verdict.instead === undefined) continue;
      this.sink.line(verdict.instead);
      given = piece.next;
    }
    give(from);
    return from;
  }
}
