/**
 * Connects to one of several checked addresses, in the manner of RFC 8305: IPv6 and IPv4 in turn,
 * the next attempt when one fails or hangs for the attempt delay; the first connection wins and the
 * others are destroyed. Promise: it connects to the given addresses and never looks a name up; when
 * it settles, the winner is the only socket left.
 */
import { connect as netConnect, isIPv6, type Socket } from 'node:net';
import { DIALLED_ADDRESSES } from './limits.ts';

/** Starts one connection to a literal address. The socket must allow half-open connections. */
export type Connect = (address: string, port: number) => Socket;

export type Dialled =
  | { kind: 'connected'; socket: Socket; address: string }
  | { kind: 'timeout' }
  | { kind: 'abandoned' }
  /** `code` is the errno of the last attempt: the first is often only a host without IPv6. */
  | { kind: 'failed'; code: string };

type DialOptions = {
  connect: Connect;
  timeoutMs: number;
  attemptDelayMs: number;
  signal: AbortSignal;
};

export const connectTcp: Connect = (address, port) =>
  netConnect({
    host: address,
    port,
    family: isIPv6(address) ? 6 : 4,
    allowHalfOpen: true,
    autoSelectFamily: false,
    noDelay: true,
    lookup: (name, _options, refuse) => {
      refuse(
        new Error(`the guard never looks up a name when it connects, and was given ${name}`),
        '',
      );
    },
  });

/** IPv6 first, then in turn; each address once. */
export function orderAddresses(addresses: readonly string[]): string[] {
  const six = addresses.filter((address) => isIPv6(address));
  const four = addresses.filter((address) => !isIPv6(address));
  const ordered: string[] = [];
  for (let index = 0; index < Math.max(six.length, four.length); index += 1) {
    ordered.push(...[six[index], four[index]].filter((address) => address !== undefined));
  }
  return ordered.slice(0, DIALLED_ADDRESSES);
}

/** @param addresses at least one, in the order they are tried */
export function dial(
  addresses: readonly string[],
  port: number,
  { connect, timeoutMs, attemptDelayMs, signal }: DialOptions,
): Promise<Dialled> {
  const { promise, resolve } = Promise.withResolvers<Dialled>();
  const pending = new Set<Socket>();
  let next = 0;
  let lastCode = '';
  let isSettled = false;
  let attemptTimer: NodeJS.Timeout | undefined;

  const settle = (outcome: Dialled): void => {
    if (isSettled) return;
    isSettled = true;
    clearTimeout(attemptTimer);
    clearTimeout(deadline);
    signal.removeEventListener('abort', onAbort);
    if (outcome.kind === 'connected') pending.delete(outcome.socket);
    for (const socket of pending) socket.destroy();
    resolve(outcome);
  };
  const onAbort = (): void => settle({ kind: 'abandoned' });
  const deadline = setTimeout(() => settle({ kind: 'timeout' }), timeoutMs);

  const attempt = (): void => {
    clearTimeout(attemptTimer);
    const address = addresses[next];
    if (isSettled || address === undefined) return;
    next += 1;
    const socket = connect(address, port);
    pending.add(socket);
    // Stays for good: a loser may still fail after it was destroyed.
    socket.on('error', (error: NodeJS.ErrnoException) => {
      if (!pending.delete(socket)) return;
      lastCode = error.code ?? error.message;
      if (next < addresses.length) attempt();
      else if (pending.size === 0) settle({ kind: 'failed', code: lastCode });
    });
    socket.once('connect', () => settle({ kind: 'connected', socket, address }));
    attemptTimer = setTimeout(attempt, attemptDelayMs);
  };

  signal.addEventListener('abort', onAbort, { once: true });
  if (signal.aborted) onAbort();
  else attempt();
  return promise;
}
