/**
 * Opens a carrier of the link and gives an HTTP/2 session on it, the guest being the client.
 *
 * A virtio port is wrapped in libuv's native pipe handle: epoll instead of the thread pool, and a
 * native socket, without which Node's HTTP/2 client loses streams (protocols.md, finding 9).
 */
import { closeSync, constants, openSync } from 'node:fs';
import type { ClientHttp2Session, ClientSessionOptions } from 'node:http2';
import { connect as connectHttp2 } from 'node:http2';
import { connect, Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { Carrier } from '../config/config.ts';
import { GuestError, messageOf } from '../errors.ts';
import {
  BULK_FRAME_BYTES,
  BULK_SESSION_WINDOW_BYTES,
  BULK_STREAM_WINDOW_BYTES,
  PORT_REOPEN_MS,
} from '../limits.ts';
import { synchronise } from './handshake.ts';

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
async function connectPort(path: string): Promise<Socket> {
  for (;;) {
    let socket: Socket | undefined;
    try {
      socket = openPort(path);
      if (await synchronise(socket)) return socket;
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

/** The session once the carrier stands. It never throws by itself: watch `close`. */
export async function openSession(
  carrier: Carrier,
  name: CarrierName,
): Promise<ClientHttp2Session> {
  const socket =
    carrier.kind === 'virtio'
      ? await connectPort(name === 'control' ? carrier.controlPort : carrier.bulkPort)
      : await connectSocket(
          name === 'control' ? carrier.controlSocketPath : carrier.bulkSocketPath,
        );
  const options: ClientSessionOptions = { createConnection: () => socket };
  if (name === 'bulk') {
    options.settings = {
      initialWindowSize: BULK_STREAM_WINDOW_BYTES,
      maxFrameSize: BULK_FRAME_BYTES,
      enablePush: false,
    };
  }
  const session = connectHttp2('http://agent', options);
  session.on('error', () => {});
  if (name === 'bulk') {
    session.once('connect', () => session.setLocalWindowSize(BULK_SESSION_WINDOW_BYTES));
  }
  return session;
}
