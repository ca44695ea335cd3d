/** The words before a connection into a guest, against sockets that say what Firecracker may, and may not. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { dialGuest, dialOnce } from './vsock.ts';

const never = new AbortController().signal;

/** Answers each connection, counted from 0, once it has said its line. */
async function listen(
  context: TestContext,
  answer: (socket: Socket, count: number, line: string) => void,
): Promise<{ path: string; connections: () => number }> {
  const directory = mkdtempSync(join(tmpdir(), 'onejob-vsock-'));
  const path = join(directory, 'v');
  const open = new Set<Socket>();
  let count = 0;
  const server: Server = createServer((socket) => {
    const number = count++;
    open.add(socket);
    socket.on('error', () => {}).once('data', (line) => answer(socket, number, line.toString()));
  }).listen(path);
  await once(server, 'listening');
  context.after(() => {
    for (const socket of open) socket.destroy();
    server.close();
    rmSync(directory, { recursive: true });
  });
  return { path, connections: () => count };
}

test('the answer is read to its end however it is cut, and what follows is left unread', async (context) => {
  const lines: string[] = [];
  for (const pieces of [
    ['OK 1073741824\nfirst'],
    [...'OK 4294967295\nfirst'],
    ['OK ', '7', '\n', 'first'],
    ['OK 7\nfi', 'rst'],
  ]) {
    const { path } = await listen(context, (socket, _count, line) => {
      lines.push(line);
      void (async () => {
        for (const piece of pieces) {
          socket.write(piece);
          await new Promise((next) => setTimeout(next, 1));
        }
        socket.end();
      })();
    });
    const socket = await dialGuest(path, 1024, never);
    assert.equal(socket.isPaused(), true);
    let text = '';
    for await (const part of socket as AsyncIterable<Buffer>) text += part.toString();
    assert.equal(text, 'first');
  }
  assert.deepEqual(new Set(lines), new Set(['CONNECT 1024\n']));
});

test('a port on which nobody listens yet is tried again until somebody does', async (context) => {
  const { path, connections } = await listen(context, (socket, count) => {
    if (count < 3) socket.destroy();
    else socket.write('OK 1\n');
  });
  assert.equal(await dialOnce(path, 1024, never), undefined);
  const socket = await dialGuest(path, 1024, never);
  assert.equal(connections(), 4);
  socket.destroy();
  assert.equal(await dialOnce(`${path}-not-there`, 1024, never), undefined);
});

test('an answer that is none ends it, in words, and closes the connection', async (context) => {
  for (const said of [
    'HTTP/1.1 200 OK\n',
    'OK\n',
    'OK -1\n',
    'ok 1\n',
    'OK 12345678901',
    '\n',
    'OK 1 \n',
  ]) {
    const closed = Promise.withResolvers<void>();
    const { path } = await listen(context, (socket) => {
      socket.once('close', () => closed.resolve()).write(said);
    });
    await assert.rejects(dialGuest(path, 1024, never), {
      code: 'link_broken',
      message: /Asked for the guest's port 1024, Firecracker answered .* onejob doctor/,
    });
    await closed.promise;
  }
});

test('silence has an end, and so has the wait for a guest', async (context) => {
  const { path } = await listen(context, () => {});
  const startedAtMs = performance.now();
  assert.equal(await dialOnce(path, 1024, never, 50), undefined);
  assert.ok(performance.now() - startedAtMs >= 45);
  const withdrawal = new AbortController();
  const dialling = dialGuest(path, 1024, withdrawal.signal);
  setTimeout(() => withdrawal.abort(new Error('withdrawn')), 20);
  await assert.rejects(dialling, { message: 'withdrawn' });
  await assert.rejects(dialGuest(path, 1024, AbortSignal.abort(new Error('before'))), {
    message: 'before',
  });
});
