/**
 * Finds the lines of a step's output that may be workflow commands (`::name::` at the beginning, after
 * white space, or `##[name]` anywhere) and lets everything else through as it came.
 *
 * Promises: all bytes are given on in order, once, however the output is chunked; at most
 * COMMAND_LINE_BYTES of a line are held, each byte copied a bounded number of times. A longer line is
 * text, and passes in constant memory.
 */
import { COMMAND_LINE_BYTES } from '../limits.ts';

type ScannerSink = {
  text(bytes: Buffer): void;
  /** A whole line without its end. False: it is no command, and comes again as text. */
  command(line: string): boolean;
};

const NEWLINE = 10;
const COLON = 58;
const OLDER_FORM = '##[';
const BLANKS = [32, 9, 11, 12, 13];
/** For the beginnings of ordinary lines. */
const HELD_BYTES = 1024;

function beginsAsCommand(bytes: Buffer, from: number, end: number): boolean {
  let at = from;
  while (at < end && BLANKS.includes(bytes[at]!)) at++;
  return at + 1 < end && bytes[at] === COLON && bytes[at + 1] === COLON;
}

export class CommandScanner {
  private readonly sink: ScannerSink;
  /** The beginning of a line that has no end yet; empty inside a line that is too long. */
  private held: Buffer = Buffer.allocUnsafe(HELD_BYTES);
  private heldBytes = 0;
  private isTooLong = false;

  constructor(sink: ScannerSink) {
    this.sink = sink;
  }

  push(chunk: Buffer): void {
    const end = chunk.lastIndexOf(NEWLINE) + 1;
    if (end === 0) return this.hold(chunk);
    let from = 0;
    if (this.isTooLong || this.heldBytes > 0) {
      from = chunk.indexOf(NEWLINE) + 1;
      this.hold(chunk.subarray(0, from));
      const line = this.takeHeld();
      this.isTooLong = false;
      this.lines(line);
    }
    this.lines(chunk.subarray(from, end));
    this.hold(chunk.subarray(end));
  }

  /** The output ended. A command needs no line end. */
  flush(): void {
    const line = this.takeHeld();
    this.isTooLong = false;
    this.lines(line);
  }

  private hold(bytes: Buffer): void {
    const size = this.heldBytes + bytes.length;
    if (this.isTooLong || size > COMMAND_LINE_BYTES) {
      this.text(this.takeHeld());
      this.isTooLong = true;
      return this.text(bytes);
    }
    if (size > this.held.length) {
      const larger = Buffer.allocUnsafe(Math.max(size, 2 * this.held.length));
      this.held.copy(larger, 0, 0, this.heldBytes);
      this.held = larger;
    }
    bytes.copy(this.held, this.heldBytes);
    this.heldBytes = size;
  }

  /** They stay as they are: whoever gets them may keep them. */
  private takeHeld(): Buffer {
    const bytes = this.held.subarray(0, this.heldBytes);
    if (this.heldBytes > 0) this.held = Buffer.allocUnsafe(HELD_BYTES);
    this.heldBytes = 0;
    return bytes;
  }

  /** Whole lines; the last one may lack its end. */
  private lines(bytes: Buffer): void {
    let textFrom = 0;
    let older = bytes.indexOf(OLDER_FORM);
    for (let at = 0; at < bytes.length;) {
      const newline = bytes.indexOf(NEWLINE, at);
      const end = newline < 0 ? bytes.length : newline;
      if (older >= 0 && older < at) older = bytes.indexOf(OLDER_FORM, at);
      const hasOlder = older >= 0 && older < end;
      const mayBe = hasOlder || beginsAsCommand(bytes, at, end);
      if (mayBe && end - at <= COMMAND_LINE_BYTES) {
        this.text(bytes.subarray(textFrom, at));
        textFrom = this.command(bytes, at, end) ? end + 1 : at;
      }
      at = end + 1;
    }
    this.text(bytes.subarray(textFrom));
  }

  private command(bytes: Buffer, from: number, end: number): boolean {
    const lineEnd = end > from && bytes[end - 1] === 13 ? end - 1 : end;
    return this.sink.command(bytes.toString('utf8', from, lineEnd));
  }

  private text(bytes: Buffer): void {
    if (bytes.length > 0) this.sink.text(bytes);
  }
}
