/**
 * Finds the lines of a step's output that may be workflow commands (`::name::` at the beginning, after
 * white space, or `##[name]` anywhere) and lets everything else through as it came. A line ends as for
 * GitHub's runner, which reads with .NET's `ReadLine`: at \n, at \r\n, or at a \r alone.
 *
 * Promises: all bytes are given on in order, once, however the output is chunked; at most
 * COMMAND_LINE_BYTES of a line are held, each byte copied a bounded number of times. A longer line is
 * text, and passes in constant memory; one that adds a mask is told, and not given on from there.
 */
import { COMMAND_LINE_BYTES } from '../limits.ts';
import { LongLine } from './long-line.ts';

type ScannerSink = {
  text(bytes: Buffer): void;
  /** A whole line without its end. False: it is no command, and comes again as text. */
  command(line: string): boolean;
  /** A line that is too long adds a mask. False: it is text. */
  longMask(): boolean;
};

const NEWLINE = 10;
const CARRIAGE_RETURN = 13;
const LONE_RETURN = Buffer.from('\r');
const COLON = 58;
const OLDER_FORM = '##[';
const BLANKS = [32, 9, 11, 12];
/** Above them a character has several bytes; some are blanks, too. */
const LAST_ASCII = 127;
/** Of a line that does not begin with ASCII, so much is looked at. */
const WIDE_BLANKS_BYTES = 256;
/** For the beginnings of ordinary lines. */
const HELD_BYTES = 1024;

function beginsAsCommand(bytes: Buffer, from: number, end: number): boolean {
  let at = from;
  while (at < end && BLANKS.includes(bytes[at]!)) at++;
  if (at < end && bytes[at]! > LAST_ASCII) {
    return /^\s*::/u.test(bytes.toString('utf8', at, Math.min(end, at + WIDE_BLANKS_BYTES)));
  }
  return at + 1 < end && bytes[at] === COLON && bytes[at + 1] === COLON;
}

/** Where something comes next, looked for once however often it is asked. */
class Finder {
  private readonly bytes: Buffer;
  private readonly what: number | string;
  private found = -1;

  constructor(bytes: Buffer, what: number | string) {
    this.bytes = bytes;
    this.what = what;
  }

  /** At `at` or behind it; Infinity: nowhere. `at` never goes back. */
  from(at: number): number {
    if (this.found >= at) return this.found;
    const found = this.bytes.indexOf(this.what, at);
    this.found = found < 0 ? Infinity : found;
    return this.found;
  }
}

/** Behind the end of the first line; 0: it has none. */
function behindFirstLine(bytes: Buffer): number {
  const newline = bytes.indexOf(NEWLINE);
  const lone = bytes.subarray(0, newline < 0 ? undefined : newline).indexOf(CARRIAGE_RETURN);
  return lone < 0 || lone === newline - 1 ? newline + 1 : lone + 1;
}

export class CommandScanner {
  private readonly sink: ScannerSink;
  /** The beginning of a line that has no end yet; empty inside a line that is too long. */
  private held: Buffer = Buffer.allocUnsafe(HELD_BYTES);
  private heldBytes = 0;
  private isTooLong = false;
  /** The last byte was a carriage return: a line end, or the first half of one. */
  private endsInReturn = false;
  /** What is known of that line. */
  private long = new LongLine();

  constructor(sink: ScannerSink) {
    this.sink = sink;
  }

  push(chunk: Buffer): void {
    const bytes = this.endsInReturn ? Buffer.concat([LONE_RETURN, chunk]) : chunk;
    this.endsInReturn = bytes.at(-1) === CARRIAGE_RETURN;
    this.take(this.endsInReturn ? bytes.subarray(0, -1) : bytes);
  }

  /** The output ended. A command needs no line end. */
  flush(): void {
    if (this.endsInReturn) this.hold(LONE_RETURN);
    this.endsInReturn = false;
    const line = this.takeHeld();
    this.isTooLong = false;
    this.lines(line);
  }

  private take(bytes: Buffer): void {
    const end = Math.max(bytes.lastIndexOf(NEWLINE), bytes.lastIndexOf(CARRIAGE_RETURN)) + 1;
    if (end === 0) return this.hold(bytes);
    let from = 0;
    if (this.isTooLong || this.heldBytes > 0) {
      from = behindFirstLine(bytes);
      this.hold(bytes.subarray(0, from));
      const line = this.takeHeld();
      this.isTooLong = false;
      this.lines(line);
    }
    this.lines(bytes.subarray(from, end));
    this.hold(bytes.subarray(end));
  }

  private hold(bytes: Buffer): void {
    const size = this.heldBytes + bytes.length;
    if (this.isTooLong || size > COMMAND_LINE_BYTES) {
      if (!this.isTooLong) this.long = new LongLine();
      this.isTooLong = true;
      this.longText(this.takeHeld());
      return this.longText(bytes);
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
    const newlines = new Finder(bytes, NEWLINE);
    const returns = new Finder(bytes, CARRIAGE_RETURN);
    const older = new Finder(bytes, OLDER_FORM);
    for (let at = 0; at < bytes.length;) {
      const end = Math.min(newlines.from(at), returns.from(at), bytes.length);
      const next = end + (newlines.from(at) === end + 1 && returns.from(at) === end ? 2 : 1);
      const mayBe = older.from(at) < end || beginsAsCommand(bytes, at, end);
      if (mayBe && end - at > COMMAND_LINE_BYTES) {
        this.text(bytes.subarray(textFrom, at));
        this.long = new LongLine();
        this.longText(bytes.subarray(at, next));
        textFrom = next;
      } else if (mayBe) {
        this.text(bytes.subarray(textFrom, at));
        textFrom = this.sink.command(bytes.toString('utf8', at, end)) ? next : at;
      }
      at = next;
    }
    this.text(bytes.subarray(textFrom));
  }

  /** A part of a line that is too long. */
  private longText(bytes: Buffer): void {
    if (this.long.isDropped) return;
    if (this.long.isMask(bytes)) this.long.isDropped = this.sink.longMask();
    if (!this.long.isDropped) this.text(bytes);
  }

  private text(bytes: Buffer): void {
    if (bytes.length > 0) this.sink.text(bytes);
  }
}
