/**
 * The SYNC handshake of a carrier whose reconnects cannot be seen (virtio-serial).
 *
 *     host:  \n\0SYNC <nonce>-<seq>\n     again and again, seq rising
 *     guest: \n\0SYNCACK <nonce>-<seq>\n  to each
 *     host:  \n\0GO <nonce>\n             once its last SYNC is acknowledged
 *     guest: HTTP/2 preface
 *
 * Before any SYNC a host that makes a snapshot of this machine may say, on the control carrier:
 *
 *     host:  \n\0WARM <nonce>\n           get ready for a job you know nothing of
 *     guest: \n\0WARMED <nonce>\n         when that is done
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
 * was seen; `warm` is the latest nonce of a WARM.
 */
export class HandshakeReader {
  rest: Buffer | undefined;
  warm: string | undefined;
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
      const warm = /(?:^|\0)WARM ([!-~]{1,200})$/.exec(line);
      if (warm) this.warm = warm[1];
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

/** What a carrier's owner does meanwhile. */
export type DuringHandshake = {
  /** Hears of each answer to SYNC. */
  onAnswer?: () => void;
  /** Gets ready for a job, when the host asks for it; what it throws is written nowhere. */
  warmUp?: () => Promise<void>;
};

/**
 * Answers SYNC until GO. False: the other side is not there (yet), open the carrier again. The
 * socket is paused afterwards, with everything behind GO unread.
 */
export function synchronise(socket: Socket, during: DuringHandshake = {}): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const reader = new HandshakeReader();
  let warmed: string | undefined;
  const warmUp = (nonce: string): void => {
    warmed = nonce;
    // One that failed is not answered: the host then makes no snapshot of this machine.
    during.warmUp?.().then(
      () => void socket.write(`\n\0WARMED ${nonce}\n`),
      () => {},
    );
  };
  const onData = (chunk: Buffer): void => {
    for (const answer of reader.push(chunk)) {
      socket.write(answer);
      during.onAnswer?.();
    }
    if (reader.warm !== undefined && reader.warm !== warmed) warmUp(reader.warm);
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
