/**
 * Joins a CONNECT stream and a TCP connection until both directions are over (RFC 9113, 8.5).
 *
 *     END_STREAM from the guest   -> FIN to the target          (the other direction stays open)
 *     FIN from the target         -> END_STREAM to the guest    (the other direction stays open)
 *     reset of the stream         -> RST to the target
 *     error of the connection     -> RST_STREAM, CONNECT_ERROR
 *     no byte moved for too long  -> both reset
 *     too many bytes moved        -> both reset
 *
 * Promise: bytes wait at their source while the other side does not take them (never in memory
 * beyond the streams' own buffers), and when the promise resolves both ends are closed.
 */
import { constants, type ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';

/** How often within the idle time movement is looked for: it ends at most a quarter too late. */
const IDLE_LOOKS = 4;

/** `reset`: one side broke off. `idle` and `spent`: we did. */
type TunnelEnd = 'closed' | 'reset' | 'idle' | 'spent';

/**
 * Neither end may be destroyed yet when it is called.
 * @param socket connected, with allowHalfOpen
 * @param move told of bytes of either direction; false breaks the tunnel off
 */
export function joinTunnel(
  stream: ServerHttp2Stream,
  socket: Socket,
  idleTimeoutMs: number,
  move: (bytes: number) => boolean,
): Promise<TunnelEnd> {
  const { promise, resolve } = Promise.withResolvers<TunnelEnd>();
  let end: TunnelEnd = 'closed';
  let open = 2;

  const breakOff = (why: TunnelEnd): void => {
    if (end === 'closed') end = why;
    if (!socket.destroyed) socket.resetAndDestroy();
    if (stream.destroyed) return;
    // One that the guest has closed already waits for writes that nobody takes.
    if (stream.closed) stream.destroy();
    else stream.close(constants.NGHTTP2_CONNECT_ERROR);
  };
  const onClose = (): void => {
    open -= 1;
    if (open > 0) return;
    clearInterval(idleTimer);
    resolve(end);
  };

  let lastMovement = '';
  let stillLooks = 0;
  const idleTimer = setInterval(
    () => {
      const movement = [
        socket.bytesRead,
        socket.bytesWritten,
        socket.writableLength,
        stream.writableLength,
      ].join();
      stillLooks = movement === lastMovement ? stillLooks + 1 : 0;
      lastMovement = movement;
      if (stillLooks >= IDLE_LOOKS) breakOff('idle');
    },
    Math.ceil(idleTimeoutMs / IDLE_LOOKS),
  );

  stream.on('error', () => breakOff('reset'));
  stream.once('close', () => {
    // Closed before the target had said all: nobody is left to take the rest.
    const isComplete = socket.writableEnded && socket.readableEnded;
    if (stream.rstCode !== constants.NGHTTP2_NO_ERROR || !isComplete) breakOff('reset');
    onClose();
  });
  socket.on('error', () => breakOff('reset'));
  socket.once('close', () => {
    if (!stream.writableEnded) breakOff('reset');
    onClose();
  });
  // A stream that was reset ends as well: that must not look to the target like a complete upload.
  stream.once('end', () => {
    const isLeft = stream.closed && !socket.readableEnded;
    if (stream.rstCode === constants.NGHTTP2_NO_ERROR && !isLeft) socket.end();
    else breakOff('reset');
  });
  const meter = (chunk: Buffer): void => {
    if (!move(chunk.length)) breakOff('spent');
  };
  stream.on('data', meter);
  stream.on('data', () => gather(socket));
  socket.on('data', meter);
  stream.pipe(socket, { end: false });
  socket.pipe(stream);
  return promise;
}

/**
 * Holds what is written to the socket until the end of this turn of the event loop: HTTP/2 hands over
 * small frames, and those of one read go out in one write.
 */
function gather(socket: Socket): void {
  if (socket.writableCorked > 0) return;
  socket.cork();
  setImmediate(() => socket.uncork());
}
