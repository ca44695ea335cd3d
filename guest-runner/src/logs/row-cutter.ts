/**
 * Cuts masked bytes into rows: at line ends, and in lines longer than LOG_ROW_BYTES at the last
 * UTF-8 boundary before it. Comes after masking, so that no cut hides a secret from the masker.
 *
 * Promises: a row has at most LOG_ROW_BYTES bytes of valid UTF-8, without line ends and without
 * NUL (no database takes it as text); invalid bytes become U+FFFD; memory is bounded by one row. A
 * carriage return ends a row, as on GitHub: progress bars show their steps.
 */
import { LOG_ROW_BYTES } from '@onejob/protocol/limits';

const NEWLINE = 10;
const CARRIAGE_RETURN = 13;

/** The largest cut at or below `limit` that does not split a UTF-8 sequence. */
function boundary(bytes: Buffer, limit: number): number {
  let at = limit;
  while (at > limit - 4 && at > 0 && (bytes[at]! & 0xc0) === 0x80) at--;
  return (bytes[at]! & 0xc0) === 0x80 || at === 0 ? limit : at;
}

/** Pieces of at most LOG_ROW_BYTES: replacing invalid bytes makes a text longer. */
function splitText(text: string): string[] {
  if (text.length * 3 <= LOG_ROW_BYTES || Buffer.byteLength(text) <= LOG_ROW_BYTES) return [text];
  const rows: string[] = [];
  let bytes = Buffer.from(text);
  while (bytes.length > LOG_ROW_BYTES) {
    const cut = boundary(bytes, LOG_ROW_BYTES);
    rows.push(bytes.toString('utf8', 0, cut));
    bytes = bytes.subarray(cut);
  }
  rows.push(bytes.toString());
  return rows;
}

export class RowCutter {
  private readonly emit: (text: string) => void;
  private held: Buffer = Buffer.alloc(0);

  constructor(emit: (text: string) => void) {
    this.emit = emit;
  }

  push(chunk: Uint8Array): void {
    const view = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length);
    const bytes = this.held.length === 0 ? view : Buffer.concat([this.held, view]);
    let from = 0;
    for (;;) {
      const end = bytes.indexOf(NEWLINE, from);
      const lineEnd = end < 0 ? bytes.length : end;
      while (lineEnd - from > LOG_ROW_BYTES) {
        const cut = boundary(bytes.subarray(from, from + LOG_ROW_BYTES + 1), LOG_ROW_BYTES);
        this.row(bytes.subarray(from, from + cut));
        from += cut;
      }
      if (end < 0) break;
      this.row(bytes.subarray(from, end));
      from = end + 1;
    }
    // A copy, so that a short rest does not keep a large chunk alive.
    this.held = Buffer.from(bytes.subarray(from));
  }

  /** The text ended: what has no line end is a row too. */
  flush(): void {
    if (this.held.length > 0) this.row(this.held);
    this.held = Buffer.alloc(0);
  }

  private row(line: Buffer): void {
    const length = line.at(-1) === CARRIAGE_RETURN ? line.length - 1 : line.length;
    let text = line.toString('utf8', 0, length);
    if (text.includes('\0')) text = text.replaceAll('\0', '\ufffd');
    const lines = text.includes('\r') ? text.split('\r') : [text];
    for (const one of lines) for (const row of splitText(one)) this.emit(row);
  }
}
