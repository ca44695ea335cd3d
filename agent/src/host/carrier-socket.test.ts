/** Carrier sockets with real connections: one of them, and no name afterwards. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { checkLeaksAfterEach } from '../../tests/_leaks.ts';
import { listenForCarrier } from './carrier-socket.ts';

let directory = '';
let path = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'onejob-carrier-'));
  path = join(directory, 'control.sock');
});
afterEach(() => rmSync(directory, { recursive: true, force: true }));
checkLeaksAfterEach();

const never = new AbortController().signal;

test('the first connection gets it, others are turned away, and its name is gone', async () => {
  await using carrier = await listenForCarrier(path, never);
  const clients = [connect(path), connect(path), connect(path)];
  const ends = clients.map(
    (client) =>
      new Promise<'open' | 'closed'>((resolve) => {
        client.on('data', () => resolve('open'));
        client.on('error', () => {}).on('close', () => resolve('closed'));
      }),
  );
  const socket = await carrier.connected;
  assert.equal(existsSync(path), false);
  socket.write('hello');
  assert.deepEqual((await Promise.all(ends)).toSorted(), ['closed', 'closed', 'open']);
  const late = connect(path);
  const [error] = (await once(late, 'error')) as [NodeJS.ErrnoException];
  assert.equal(error.code, 'ENOENT');
  socket.destroy();
  for (const client of clients) client.destroy();
});

test('nothing is read from the connection before somebody asks', async () => {
  await using carrier = await listenForCarrier(path, never);
  const client = connect(path);
  client.write('first words');
  const socket = await carrier.connected;
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(socket.bytesRead, 0);
  socket.resume();
  const [chunk] = (await once(socket, 'data')) as [Buffer];
  assert.equal(chunk.toString(), 'first words');
  socket.destroy();
  client.destroy();
});

test('an abort while it waits rejects with the reason; the name goes with it', async () => {
  const withdrawn = new AbortController();
  const carrier = await listenForCarrier(path, withdrawn.signal);
  const { connected } = carrier;
  withdrawn.abort(new Error('withdrawn'));
  await assert.rejects(connected, /withdrawn/);
  await carrier[Symbol.asyncDispose]();
  await carrier[Symbol.asyncDispose]();
  assert.equal(existsSync(path), false);
});

test('an abort before it listens makes nothing', async () => {
  await assert.rejects(
    listenForCarrier(path, AbortSignal.abort(new Error('withdrawn'))),
    /withdrawn/,
  );
  assert.equal(existsSync(path), false);
});

test('disposed of before anybody connected it rejects; a connection nobody asked for ends', async () => {
  const lonely = await listenForCarrier(path, never);
  const { connected } = lonely;
  await lonely[Symbol.asyncDispose]();
  await assert.rejects(connected, { code: 'stopped' });
  const unasked = await listenForCarrier(path, never);
  const client = connect(path);
  client.on('error', () => {});
  const closed = once(client, 'close');
  client.resume();
  while (existsSync(path)) await new Promise((resolve) => setImmediate(resolve));
  await unasked[Symbol.asyncDispose]();
  await closed;
});

test('a path too long for a socket is refused in words, before anything is made', async () => {
  const long = join(directory, 'x'.repeat(120));
  await assert.rejects(listenForCarrier(long, never), {
    code: 'invalid_configuration',
    message: /longer than 107 bytes.*--data-dir/,
  });
});
