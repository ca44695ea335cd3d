import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2';
import { connect, createServer } from 'node:net';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import { HandshakeReader, synchronise } from './handshake.ts';

test('every SYNC is answered and GO gives back what follows, however the bytes are cut', () => {
  const rubbish = fc.uint8Array({ maxLength: 60 });
  fc.assert(
    fc.property(rubbish, rubbish, fc.uint8Array(), fc.nat(20), (before, between, after, size) => {
      const all = Buffer.concat([
        before,
        Buffer.from('\n\0SYNC n1-1\n'),
        between,
        Buffer.from('\n\0SYNC n2-7\n\n\0SYNC n2-8\n\n\0GO n2\n'),
        after,
      ]);
      const reader = new HandshakeReader();
      const answers: string[] = [];
      let at = 0;
      for (; at < all.length && reader.rest === undefined; at += size + 1) {
        answers.push(...reader.push(all.subarray(at, at + size + 1)));
      }
      const rest = Buffer.concat([reader.rest!, all.subarray(at)]);
      assert.deepEqual(rest, Buffer.from(after));
      assert.deepEqual(answers.slice(-2), ['\n\0SYNCACK n2-7\n', '\n\0SYNCACK n2-8\n']);
    }),
  );
});

test('a GO of another connection is not ours', () => {
  const reader = new HandshakeReader();
  reader.push(Buffer.from('\n\0SYNC new-1\n\n\0GO old\n'));
  assert.equal(reader.rest, undefined);
});

async function pair(): Promise<{
  guest: Socket;
  host: Socket;
  [Symbol.asyncDispose](): Promise<void>;
}> {
  const directory = mkdtempSync(join(tmpdir(), 'onejob-sync-'));
  const server = createServer({ allowHalfOpen: true }).listen(join(directory, 's'));
  await once(server, 'listening');
  const guest = connect({ path: join(directory, 's'), allowHalfOpen: true });
  const [host] = (await once(server, 'connection')) as [Socket];
  const dispose = async (): Promise<void> => {
    guest.destroy();
    host.destroy();
    server.close();
    await once(server, 'close');
    rmSync(directory, { recursive: true });
  };
  return { guest, host, [Symbol.asyncDispose]: dispose };
}

test('after GO the socket gives exactly the bytes behind it', async () => {
  await using ends = await pair();
  const done = synchronise(ends.guest);
  ends.host.write('stale bytes\n\0SYNC n-1\n');
  const [answer] = (await once(ends.host, 'data')) as [Buffer];
  assert.equal(answer.toString(), '\n\0SYNCACK n-1\n');
  ends.host.write('\n\0GO n\nSETTINGS');
  assert.equal(await done, true);
  setImmediate(() => ends.guest.resume());
  const [rest] = (await once(ends.guest, 'data')) as [Buffer];
  assert.equal(rest.toString(), 'SETTINGS');
});

test('a host that is not there is told as false', async () => {
  await using ends = await pair();
  const done = synchronise(ends.guest);
  ends.host.end();
  assert.equal(await done, false);
});

test('HTTP/2 speaks on the socket after GO, though the host began at once', async () => {
  await using ends = await pair();
  const done = synchronise(ends.guest);
  ends.host.write('\n\0SYNC n-1\n');
  await once(ends.host, 'data');
  ends.host.write('\n\0GO n\n');
  const server = createHttp2Server();
  server.on('stream', (stream) => {
    stream.respond({ ':status': 200 });
    stream.end('answer');
  });
  server.emit('connection', ends.host);
  assert.equal(await done, true);
  // As on a port: the host's SETTINGS may already be among the unread bytes.
  await new Promise((resolve) => setTimeout(resolve, 20));
  const session = connectHttp2('http://agent', { createConnection: () => ends.guest });
  const stream = session.request({ ':path': '/' });
  const [part] = (await once(stream, 'data')) as [Buffer];
  assert.equal(part.toString(), 'answer');
  session.destroy();
});

test('a host that asks for it is told once that the runner is warm, and synchronised afterwards', async () => {
  await using ends = await pair();
  let heard = '';
  ends.host.on('data', (chunk: Buffer) => (heard += chunk.toString('latin1')));
  let warmUps = 0;
  const done = synchronise(ends.guest, {
    warmUp: async () => void (await Promise.resolve(warmUps++)),
  });
  ends.host.write('\n\0WARM n1\n\n\0WARM n1\n');
  while (!heard.includes('\n\0WARMED n1\n')) await once(ends.host, 'data');
  ends.host.write('\n\0SYNC n2-1\n\n\0GO n2\n');
  assert.equal(await done, true);
  assert.equal(warmUps, 1);
});

test('one that fails to warm up does not say that it is warm, and is a runner all the same', async () => {
  await using ends = await pair();
  let heard = '';
  ends.host.on('data', (chunk: Buffer) => (heard += chunk.toString('latin1')));
  const done = synchronise(ends.guest, {
    warmUp: async () => await Promise.reject(new Error('no')),
  });
  ends.host.write('\n\0WARM n1\n\n\0SYNC n2-1\n');
  while (!heard.includes('SYNCACK n2-1')) await once(ends.host, 'data');
  ends.host.write('\n\0GO n2\n');
  assert.equal(await done, true);
  assert.doesNotMatch(heard, /WARMED/);
});
