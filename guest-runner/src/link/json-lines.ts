/** JSON messages, one a line, on a stream: reading in order, with a limit a message. */
import type { Readable } from 'node:stream';
import { GuestError } from '../errors.ts';

/**
 * Calls `take` for each message, in order.
 * @throws into `fail`: a message over `limitBytes`, or one that is not JSON.
 */
export function readJsonLines(
  stream: Readable,
  limitBytes: number,
  take: (message: unknown) => void,
  fail: (error: Error) => void,
): void {
  let parts: Buffer[] = [];
  let heldBytes = 0;
  stream.on('data', (chunk: Buffer) => {
    let from = 0;
    try {
      for (;;) {
        const end = chunk.indexOf(10, from);
        const part = chunk.subarray(from, end < 0 ? chunk.length : end);
        heldBytes += part.length;
        if (heldBytes > limitBytes) {
          throw new GuestError('protocol', `the host sent a message over ${limitBytes} bytes`);
        }
        parts.push(part);
        if (end < 0) return;
        const line = Buffer.concat(parts).toString();
        parts = [];
        heldBytes = 0;
        from = end + 1;
        if (line !== '') take(JSON.parse(line));
      }
    } catch (error) {
      fail(
        error instanceof GuestError
          ? error
          : new GuestError('protocol', 'bad message', { cause: error }),
      );
    }
  });
}

export const jsonLine = (message: unknown): string => `${JSON.stringify(message)}\n`;
