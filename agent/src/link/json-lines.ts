/** JSON messages, one a line, on a stream: read with a limit on the line, written with one on the backlog. */
import type { Readable, Writable } from 'node:stream';
import { AgentError } from '../errors.ts';
import { LINK_UNREAD_BYTES } from '../limits.ts';

/** A line begun is copied here, so that a flood of tiny chunks holds no more than the line. */
const FIRST_HELD_BYTES = 4096;

/**
 * Parsed lines of a stream. Throws `guest_protocol` on a line too long or not JSON, or when the
 * stream ends inside one; a stream that breaks off throws what it broke with. Leaving the loop
 * early leaves the stream as it is: it may still be written to.
 */
export async function* readJsonLines(stream: Readable, longestLineBytes: number): AsyncGenerator {
  let held = Buffer.alloc(0);
  let heldBytes = 0;
  const hold = (part: Buffer): void => {
    const bytes = heldBytes + part.length;
    if (bytes > longestLineBytes) throw tooLong(longestLineBytes);
    if (bytes > held.length) {
      const larger = Buffer.allocUnsafe(Math.max(bytes, 2 * held.length, FIRST_HELD_BYTES));
      held.copy(larger, 0, 0, heldBytes);
      held = larger;
    }
    part.copy(held, heldBytes);
    heldBytes = bytes;
  };
  const chunks = stream.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>;
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(10); end >= 0; end = chunk.indexOf(10, start)) {
      let line = chunk.subarray(start, end);
      if (heldBytes > 0) {
        hold(line);
        line = held.subarray(0, heldBytes);
      } else if (line.length > longestLineBytes) {
        throw tooLong(longestLineBytes);
      }
      const message = parseLine(line);
      held = Buffer.alloc(0);
      heldBytes = 0;
      start = end + 1;
      yield message;
    }
    if (start < chunk.length) hold(chunk.subarray(start));
  }
  if (heldBytes > 0) {
    throw new AgentError('guest_protocol', 'it ended a stream inside a message');
  }
}

const tooLong = (longestLineBytes: number): AgentError =>
  new AgentError('guest_protocol', `a message of more than ${longestLineBytes} bytes`);

function parseLine(line: Buffer): unknown {
  try {
    return JSON.parse(line.toString('utf8')) as unknown;
  } catch {
    throw new AgentError('guest_protocol', 'a message that is not JSON');
  }
}

/** Writes one line. A peer that does not read is cut off before it costs us memory. */
export function writeJsonLine(stream: Writable, json: string | Uint8Array): void {
  if (stream.destroyed || stream.writableEnded) return;
  if (typeof json === 'string') {
    stream.write(`${json}\n`);
  } else {
    stream.write(json);
    stream.write('\n');
  }
  if (stream.writableLength > LINK_UNREAD_BYTES) {
    stream.destroy(new AgentError('guest_protocol', 'it does not read what it is sent'));
  }
}
