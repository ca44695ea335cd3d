/**
 * The far end of a measured connection, in a thread of its own: it sends so many bytes to who says
 * `down`, takes bytes until the end from who says `up`, and says `done` then.
 */
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { parentPort, workerData } from 'node:worker_threads';

const { bytes } = workerData as { bytes: number };
const CHUNK = Buffer.alloc(64 * 1024, 'onejob');

function* content(): Generator<Buffer> {
  for (let sent = 0; sent < bytes; sent += CHUNK.length) yield CHUNK;
}

function serve(socket: Socket): void {
  socket.on('error', () => {});
  socket.once('data', (first) => {
    if (first.toString('latin1', 0, 4) === 'down') {
      pipeline(Readable.from(content()), socket).catch(() => {});
      return;
    }
    socket.on('data', () => {}).once('end', () => socket.end('done'));
  });
}

const server = createServer({ allowHalfOpen: true, noDelay: true }, serve);
server.listen(0, '127.0.0.1', () => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
  parentPort?.postMessage((server.address() as AddressInfo).port);
});
