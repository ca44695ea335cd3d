/**
 * Finds the lines of a step's output that may be workflow commands (`::name::` or `##[name]` at the
 * beginning of a line, after white space) and lets everything else through as it came.
 *
 * Promises: all bytes are given on in order, once, however the output is chunked; at most
 * COMMAND_LINE_BYTES are held, so a line without end passes in constant memory. A longer line is text.
 */
import { COMMAND_INDENT_BYTES, COMMAND_LINE_BYTES } from '../limits.ts';

type ScannerSink = {
  text(bytes: Buffer): void;
  /** A whole line without its end. False: it is no command, and comes again as text. */
  command(line: string): boolean;
};

const NEWLINE = 10;
const COLON = 58;
const HASH = 35;
const BRACKET = 91;
const BLANKS = [32, 9, 13];

type Beginning = 'command' | 'text' | 'undecided';

/** What the line at `from` is, as far as its first bytes tell. */
function beginning(bytes: Buffer, from: number): Beginning {
  let at = from;
  while (at < bytes.length && BLANKS.includes(bytes[at]!)) at++;
  if (at - from > COMMAND_INDENT_BYTES) return 'text';
  if (at === bytes.length) return 'undecided';
  const wanted = bytes[at] === COLON ? [COLON, COLON] : [HASH, HASH, BRACKET];
  for (let i = 0; i < wanted.length; i++) {
    if (at + i === bytes.length) return 'undecided';
    if (bytes[at + i] !== wanted[i]) return 'text';
  }
  return 'command';
}

export class CommandScanner {
  private readonly sink: ScannerSink;
  /** The beginning of a line that may be a command. Empty inside a line of text. */
  private held: Buffer = Buffer.alloc(0);
  /** Where in `held` no line end is. */
  private searched = 0;
  private inText = false;

  constructor(sink: ScannerSink) {
    this.sink = sink;
  }

  push(chunk: Buffer): void {
    const bytes = this.held.length === 0 ? chunk : Buffer.concat([this.held, chunk]);
    let searchFrom = this.searched;
    this.held = Buffer.alloc(0);
    this.searched = 0;
    let textFrom = 0;
    let at = 0;
    while (at < bytes.length) {
      const kind = this.inText ? 'text' : beginning(bytes, at);
      const end = bytes.indexOf(NEWLINE, Math.max(at, searchFrom));
      searchFrom = 0;
      if (end < 0 && kind !== 'text' && bytes.length - at <= COMMAND_LINE_BYTES) {
        this.text(bytes, textFrom, at);
        this.held = bytes.subarray(at);
        this.searched = this.held.length;
        return;
      }
      this.inText = end < 0;
      if (end < 0) break;
      if (kind === 'command' && end - at <= COMMAND_LINE_BYTES) {
        this.text(bytes, textFrom, at);
        textFrom = this.command(bytes, at, end) ? end + 1 : at;
      }
      at = end + 1;
    }
    this.text(bytes, textFrom, bytes.length);
  }

  /** The output ended. A command needs no line end. */
  flush(): void {
    const { held } = this;
    this.held = Buffer.alloc(0);
    this.searched = 0;
    this.inText = false;
    if (held.length === 0) return;
    if (beginning(held, 0) === 'command' && this.command(held, 0, held.length)) return;
    this.text(held, 0, held.length);
  }

  private command(bytes: Buffer, from: number, end: number): boolean {
    const lineEnd = end > from && bytes[end - 1] === 13 ? end - 1 : end;
    return this.sink.command(bytes.toString('utf8', from, lineEnd));
  }

  private text(bytes: Buffer, from: number, to: number): void {
    if (to > from) this.sink.text(bytes.subarray(from, to));
  }
}
