/**
 * The handshake on a carrier that does not know who is at its other end (virtio-serial): a
 * reconnect there is invisible, and bytes of an earlier conversation may still be in it.
 *
 *     host  -> guest   \n\0SYNC <nonce>-<seq>\n       again and again, seq rising
 *     guest -> host    \n\0SYNCACK <nonce>-<seq>\n    to each
 *     host  -> guest   \n\0GO <nonce>\n               once the answer to the last seq is here
 *     guest -> host    HTTP/2 preface
 *
 * Before that, on the control carrier of a machine that becomes a snapshot:
 *
 *     host  -> guest   \n\0WARM <nonce>\n             get ready for a job you know nothing of
 *     guest -> host    \n\0WARMED <nonce>\n           when that is done; silence is a failure
 *
 * The carrier is a queue, so nothing older can come after the answer to the last seq. The pause
 * between two SYNCs grows, or a guest slower than the pause would never answer the last one.
 */
import type { Socket } from 'node:net';
import { AgentError } from '../errors.ts';

/**
 * Longer than an emulated guest takes to answer. Asked again meanwhile, it sets HTTP/2 up on one carrier
 * before it answers on the other.
 */
const FIRST_PAUSE_MS = 150;
const PAUSE_GROWTH = 1.25;
const LONGEST_PAUSE_MS = 5_000;
/** An answer is shorter than this; what is before it is thrown away. */
const KEPT_BYTES = 256;

/** Resolves when the guest has answered; the socket is then paused, unread from the preface on. */
export async function synchronise(
  socket: Socket,
  nonce: string,
  signal: AbortSignal,
): Promise<void> {
  let sequence = 0;
  await ask(socket, signal, {
    question: () => `SYNC ${nonce}-${++sequence}`,
    answer: () => `SYNCACK ${nonce}-${sequence}`,
  });
  socket.write(`\n\0GO ${nonce}\n`);
}

/** Resolves when the guest has done what every job needs; afterwards it waits for a SYNC again. */
export async function warmUp(socket: Socket, nonce: string, signal: AbortSignal): Promise<void> {
  await ask(socket, signal, {
    question: () => `WARM ${nonce}`,
    answer: () => `WARMED ${nonce}`,
  });
}

type Question = { question: () => string; answer: () => string };

/** Asks again and again until the last question is answered; the socket is then paused behind that. */
function ask(socket: Socket, signal: AbortSignal, { question, answer }: Question): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let pauseMs = FIRST_PAUSE_MS;
  let timer: NodeJS.Timeout | undefined;
  let received = Buffer.alloc(0);

  const send = (): void => {
    if (!socket.writableNeedDrain) socket.write(`\n\0${question()}\n`);
    timer = setTimeout(send, pauseMs);
    pauseMs = Math.min(pauseMs * PAUSE_GROWTH, LONGEST_PAUSE_MS);
  };
  const stop = (): void => {
    clearTimeout(timer);
    socket.off('data', onData).off('close', onClose).off('error', onClose);
    signal.removeEventListener('abort', onAbort);
  };
  const onData = (chunk: Buffer): void => {
    received = Buffer.concat([received, chunk]);
    const wanted = Buffer.from(`\n\0${answer()}\n`);
    const at = received.indexOf(wanted);
    if (at < 0) {
      received = received.subarray(-KEPT_BYTES);
      return;
    }
    stop();
    socket.pause();
    const rest = received.subarray(at + wanted.length);
    if (rest.length > 0) socket.unshift(rest);
    resolve();
  };
  const onClose = (): void => {
    stop();
    reject(new AgentError('link_broken', 'The carrier closed before the guest answered.'));
  };
  const onAbort = (): void => {
    stop();
    reject(signal.reason as Error);
  };
  if (signal.aborted) return Promise.reject(signal.reason as Error);
  signal.addEventListener('abort', onAbort, { once: true });
  socket.on('data', onData).on('close', onClose).on('error', onClose);
  send();
  return promise;
}
