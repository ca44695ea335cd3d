/**
 * Opens the carriers of the link and gives an HTTP/2 session on each, the guest being the client.
 *
 * Node's HTTP/2 is loaded after the host was answered on both: that takes a fifth of a second under
 * emulation, in which the host's next word comes.
 *
 * A virtio port is wrapped in libuv's native pipe handle: epoll instead of the thread pool, and a
 * native socket, without which Node's HTTP/2 client loses streams (protocols.md, finding 9).
 */
import { closeSync, constants, openSync } from 'node:fs';
import type { ClientHttp2Session, ClientSessionOptions } from 'node:http2';
import { connect, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Carrier } from '../config/config.ts';
import { GuestError, messageOf } from '../errors.ts';
import {
  BULK_FRAME_BYTES,
  BULK_SESSION_WINDOW_BYTES,
  BULK_STREAM_WINDOW_BYTES,
  FIRST_ANSWER_MS,
  PORT_REOPEN_MS,
} from '../limits.ts';
import { synchronise, type DuringHandshake } from './handshake.ts';

type CarrierName = 'control' | 'bulk';

type PipeWrap = {
  Pipe: new (type: number) => { open(fd: number): number };
  constants: { SOCKET: number };
};

/** Node's name for libuv's pipe handle. Not public, but the only way to epoll on a port. */
function pipeWrap(): PipeWrap {
  const owner = process as unknown as { binding(name: string): unknown };
  return owner.binding('pipe_wrap') as PipeWrap;
}

function openPort(path: string): Socket {
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  const { Pipe, constants: kinds } = pipeWrap();
  const handle = new Pipe(kinds.SOCKET);
  const error = handle.open(fd);
  if (error) {
    closeSync(fd);
    throw new GuestError('link_failed', `cannot use ${path} (libuv error ${error})`);
  }
  return new Socket({ handle, readable: true, writable: true, allowHalfOpen: true } as object);
}

/**
 * Reading 0 bytes from a port means that no host is connected: close, wait, open again. Opening
 * fails with EBUSY while the closed one is not gone, and with ENOENT before the device is there.
 */
export async function connectPort(path: string, during: DuringHandshake): Promise<Socket> {
  for (;;) {
    let socket: Socket | undefined;
    try {
      socket = openPort(path);
      if (await synchronise(socket, during)) return socket;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code !== 'EBUSY' && code !== 'ENOENT') throw error;
    }
    socket?.destroy();
    await delay(PORT_REOPEN_MS);
  }
}

async function connectSocket(path: string): Promise<Socket> {
  const socket = connect(path);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  socket.once('connect', resolve).once('error', reject);
  try {
    await promise;
  } catch (error) {
    throw new GuestError('link_failed', `cannot connect to ${path}: ${messageOf(error)}`, {
      cause: error,
    });
  }
  return socket;
}

/** A carrier on its way. */
type Opening = {
  socket: Promise<Socket>;
  /** The host has heard from us, and it is its turn. Never rejects. */
  answered: Promise<void>;
};

function openCarrier(carrier: Carrier, name: CarrierName, during: DuringHandshake): Opening {
  if (carrier.kind === 'unix') {
    const path = name === 'control' ? carrier.controlSocketPath : carrier.bulkSocketPath;
    return { socket: connectSocket(path), answered: Promise.resolve() };
  }
  const path = name === 'control' ? carrier.controlPort : carrier.bulkPort;
  const { promise: answered, resolve } = Promise.withResolvers<void>();
  return { socket: connectPort(path, { ...during, onAnswer: resolve }), answered };
}

/** A session never throws by itself: watch `close`. */
export type Sessions = {
  control: ClientHttp2Session;
  /** It may still be on its way, or never come. */
  bulk: Promise<ClientHttp2Session>;
};

/**
 * Resolves when the control carrier stands; `warmUp` is done before, where the host asks for it.
 * @throws GuestError `link_failed`
 */
export async function openSessions(
  carrier: Carrier,
  warmUp: () => Promise<void>,
): Promise<Sessions> {
  const control = openCarrier(carrier, 'control', { warmUp });
  const bulk = openCarrier(carrier, 'bulk', {});
  // Who needs them gets the errors; without these lines Node would end at once.
  control.socket.catch(() => {});
  bulk.socket.catch(() => {});
  const answered = Promise.all([control.answered, bulk.answered]);
  await Promise.race([answered, delay(FIRST_ANSWER_MS, undefined, { ref: false })]);
  const { connect: connectHttp2 } = await import('node:http2');

  const onBulk = bulk.socket.then((socket) => {
    const settings = {
      initialWindowSize: BULK_STREAM_WINDOW_BYTES,
      maxFrameSize: BULK_FRAME_BYTES,
      enablePush: false,
    };
    const session = openSession(connectHttp2, socket, { settings });
    session.once('connect', () => session.setLocalWindowSize(BULK_SESSION_WINDOW_BYTES));
    return session;
  });
  onBulk.catch(() => {});
  return { control: openSession(connectHttp2, await control.socket, {}), bulk: onBulk };
}

type ConnectHttp2 = (authority: string, options: ClientSessionOptions) => ClientHttp2Session;

function openSession(
  connectHttp2: ConnectHttp2,
  socket: Socket,
  options: ClientSessionOptions,
): ClientHttp2Session {
  const session = connectHttp2('http://agent', { ...options, createConnection: () => socket });
  session.on('error', () => {});
  return session;
}
