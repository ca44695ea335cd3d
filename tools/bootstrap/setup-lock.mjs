/**
 * One set-up at a time. The lock is an abstract Unix socket (a name in the kernel, not a file): who
 * listens on it holds it, and the kernel drops it when its process ends in any way, so there is no
 * stale lock and nothing to remove. A second bootstrap connects to it, waits until the connection
 * ends, and tries again. The name holds the user's id, since users do not share a set-up.
 */

import { createHash } from 'node:crypto';
import net from 'node:net';

/** Between two attempts when the holder vanished between our listen and our connect. */
const RETRY_MS = 50;

/** @param {string} path */
function listen(path) {
  return new Promise((resolve, reject) => {
    // A waiter holds its connection open until we end it; it needs no answer.
    const waiters = new Set();
    const server = net.createServer((socket) => {
      waiters.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => waiters.delete(socket));
      socket.unref();
    });
    server.once('error', reject);
    server.listen(path, () => {
      server.unref();
      resolve(async () => {
        for (const socket of waiters) socket.destroy();
        await new Promise((closed) => server.close(closed));
      });
    });
  });
}

/** @param {string} path */
function waitUntilReleased(path) {
  return new Promise((resolve) => {
    const socket = net.connect(path);
    socket.on('error', () => {});
    socket.on('close', () => setTimeout(resolve, RETRY_MS));
    socket.resume();
  });
}

/**
 * Runs `work` while holding the lock called `name`. `onWait` is called once if another holds it.
 * @template T
 * @param {string} name what is protected: a checkout's path, or a resource of the machine
 * @param {() => void} onWait
 * @param {() => Promise<T>} work
 * @returns {Promise<T>}
 */
export async function withSetupLock(name, onWait, work) {
  const digest = createHash('sha256').update(name).digest('hex').slice(0, 32);
  const path = `\0onejob-setup-${process.getuid?.() ?? 'user'}-${digest}`;
  let release;
  for (let attempt = 0; release === undefined; attempt++) {
    try {
      release = await listen(path);
    } catch (error) {
      if (error.code !== 'EADDRINUSE') throw error;
      if (attempt === 0) onWait();
      await waitUntilReleased(path);
    }
  }
  try {
    return await work();
  } finally {
    await release();
  }
}
