/**
 * Connections into a guest of Firecracker's, as docs/vsock.md of Firecracker has them: the host connects to
 * the device's Unix socket and names the port, and the connection is the guest's once that is answered.
 *
 *     host        -> Firecracker   CONNECT <port>\n
 *     Firecracker -> host          OK <port of the host's end>\n      somebody in the guest accepted
 *                                  (closed)                           nobody listens there
 *
 * It is always the host that connects: listeners in the guest outlive a snapshot, connections do not. So
 * nobody listens at `<socket>_<port>`, where connections that a guest begins would arrive, and Firecracker
 * refuses those.
 */
import { connect, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentError } from '../../errors.ts';
import {
  VSOCK_ANSWER_BYTES,
  VSOCK_ANSWER_TIMEOUT_MS,
  VSOCK_FIRST_PAUSE_MS,
  VSOCK_LONGEST_PAUSE_MS,
  VSOCK_PAUSE_GROWTH,
} from './config.ts';

const NEWLINE = 10;
const ANSWER = /^OK \d{1,10}$/;

/** Nobody listens yet: at the socket, or at the guest's port. */
const NOBODY = new Set(['ENOENT', 'ECONNREFUSED', 'ECONNRESET', 'EPIPE']);

/**
 * Tries until somebody in the guest accepts. The socket is paused then, unread from the first byte of
 * the guest's. Rejects with the signal's reason, or `link_broken` where what answers is no Firecracker.
 */
export async function dialGuest(path: string, port: number, signal: AbortSignal): Promise<Socket> {
  let pauseMs = VSOCK_FIRST_PAUSE_MS;
  for (;;) {
    const socket = await dialOnce(path, port, signal);
    if (socket !== undefined) return socket;
    await sleep(pauseMs, undefined, { signal }).catch(() => {});
    signal.throwIfAborted();
    pauseMs = Math.min(pauseMs * VSOCK_PAUSE_GROWTH, VSOCK_LONGEST_PAUSE_MS);
  }
}

/** Undefined: nobody listens there, or nobody accepted in time. */
export async function dialOnce(
  path: string,
  port: number,
  signal: AbortSignal,
  timeoutMs = VSOCK_ANSWER_TIMEOUT_MS,
): Promise<Socket | undefined> {
  signal.throwIfAborted();
  const { promise, resolve, reject } = Promise.withResolvers<Socket | undefined>();
  const socket = connect({ path });
  let received = Buffer.alloc(0);
  const onData = (chunk: Buffer): void => {
    received = Buffer.concat([received, chunk]);
    const end = received.indexOf(NEWLINE);
    if (end < 0 && received.length < VSOCK_ANSWER_BYTES) return;
    const line = received.toString('latin1', 0, end < 0 ? VSOCK_ANSWER_BYTES : end);
    if (end < 0 || !ANSWER.test(line)) return reject(noAnswer(port, line));
    socket.pause();
    stop();
    const rest = received.subarray(end + 1);
    if (rest.length > 0) socket.unshift(rest);
    resolve(socket);
  };
  const onError = ({ code, message }: NodeJS.ErrnoException): void => {
    if (code !== undefined && NOBODY.has(code)) resolve(undefined);
    else reject(new AgentError('link_broken', `The guest's port ${port}: ${message}.`));
  };
  const onClose = (): void => resolve(undefined);
  const onAbort = (): void => reject(signal.reason as Error);
  const timer = setTimeout(onClose, timeoutMs);
  const stop = (): void => {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
    socket.off('data', onData).off('close', onClose).off('end', onClose).off('error', onError);
    socket.on('error', () => {}); // whoever uses it sees its close
  };
  signal.addEventListener('abort', onAbort, { once: true });
  socket.on('data', onData).on('error', onError).once('end', onClose).once('close', onClose);
  socket.write(`CONNECT ${port}\n`);
  let isOurs = false;
  try {
    const connected = await promise;
    isOurs = connected !== undefined;
    return connected;
  } finally {
    if (!isOurs) {
      stop();
      socket.destroy();
    }
  }
}

const noAnswer = (port: number, line: string): AgentError =>
  new AgentError(
    'link_broken',
    `Asked for the guest's port ${port}, Firecracker answered ${JSON.stringify(line)} and not "OK <port>". See which program it is: onejob doctor`,
  );
