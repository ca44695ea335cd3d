/**
 * The SYNC handshake of a carrier whose reconnects cannot be seen (virtio-serial).
 *
 *     host:  \n\0SYNC <nonce>-<seq>\n     every 50 ms, seq rising
 *     guest: \n\0SYNCACK <nonce>-<seq>\n  to each
 *     host:  \n\0GO <nonce>\n             once its last SYNC is acknowledged
 *     guest: HTTP/2 preface
 *
 * Whatever else arrives before GO is left over from an earlier connection and is skipped. What
 * follows GO belongs to HTTP/2 and is given back to the socket unread.
 */
import type { Socket } from 'node:net';
import { HANDSHAKE_LINE_BYTES } from '../limits.ts';

const MARK = 0;
const NEWLINE = 10;

/**
 * Finds handshake lines in a byte stream. `push` gives answers to write; once `rest` is there, GO
 * was seen.
 */
export class HandshakeReader {
  rest: Buffer | undefined;
  private held: Buffer = Buffer.alloc(0);
  private nonce = '';

  push(chunk: Buffer): string[] {
    const answers: string[] = [];
    let bytes = this.held.length === 0 ? chunk : Buffer.concat([this.held, chunk]);
    for (;;) {
      const start = bytes.indexOf(MARK);
      if (start < 0) return this.hold(Buffer.alloc(0), answers);
      const end = bytes.indexOf(NEWLINE, start);
      if (end < 0) return this.hold(bytes.subarray(start), answers);
      const line = bytes.toString('latin1', start + 1, end);
      bytes = bytes.subarray(end + 1);
      const sync = /(?:^|\0)SYNC ([!-~]{1,200})-(\d{1,15})$/.exec(line);
      if (sync) {
        this.nonce = sync[1]!;
        answers.push(`\n\0SYNCACK ${sync[1]}-${sync[2]}\n`);
        continue;
      }
      const go = /(?:^|\0)GO ([!-~]{1,200})$/.exec(line);
      if (go && go[1] === this.nonce) {
        this.rest = bytes;
        return answers;
      }
    }
  }

  /** A line that began but did not end; one too long is rubbish. */
  private hold(bytes: Buffer, answers: string[]): string[] {
    this.held = bytes.length > HANDSHAKE_LINE_BYTES ? Buffer.alloc(0) : Buffer.from(bytes);
    return answers;
  }
}

/**
 * Answers SYNC until GO; `onAnswer` hears of each answer. False: the other side is not there (yet),
 * open the carrier again. The socket is paused afterwards, with everything behind GO unread.
 */
export function synchronise(socket: Socket, onAnswer = (): void => {}): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const reader = new HandshakeReader();
  const onData = (chunk: Buffer): void => {
    for (const answer of reader.push(chunk)) {
      socket.write(answer);
      onAnswer();
    }
    if (reader.rest === undefined) return;
    socket.pause();
    finish(true);
    if (reader.rest.length > 0) socket.unshift(reader.rest);
  };
  const onLost = (): void => finish(false);
  const finish = (done: boolean): void => {
    socket.off('data', onData).off('end', onLost).off('error', onLost).off('close', onLost);
    // An error that comes before the socket's next owner listens must not end the runner.
    socket.on('error', () => {});
    resolve(done);
  };
  socket.on('data', onData).on('end', onLost).on('error', onLost).on('close', onLost);
  return promise;
}
