/** Tunnels through real carriers: ends, resets, silence, and both sides' refusal to read. */
import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import type { Socket } from 'node:net';
import { Readable } from 'node:stream';
import { buffer, text } from 'node:stream/consumers';
import { pipeline } from 'node:stream/promises';
import { test } from 'node:test';
import { closed, openGuardedLink, startTarget } from './_guarded-link.ts';

const MiB = 1024 * 1024;
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex');

test('the target still answers after the guest has ended its side', async () => {
  await using target = await startTarget((socket) => {
    void text(socket).then((said) => socket.end(`you said ${said}`));
  });
  await using link = await openGuardedLink();
  const { stream } = await link.connect(`127.0.0.1:${target.port}`);
  stream.end('all of it');
  assert.equal(await text(stream), 'you said all of it');
  assert.equal((await link.nextRecord()).reason, undefined);
});

test('the guest can still send after the target has ended its side', async () => {
  const heard = Promise.withResolvers<string>();
  await using target = await startTarget((socket) => {
    socket.end('bye');
    void text(socket).then(heard.resolve);
  });
  await using link = await openGuardedLink();
  const { stream } = await link.connect(`127.0.0.1:${target.port}`);
  assert.equal(await text(stream), 'bye');
  stream.end('one more thing');
  assert.equal(await heard.promise, 'one more thing');
  assert.equal((await link.nextRecord()).bytesUp, 14);
});

test('a reset by the target is a CONNECT_ERROR for the guest', async () => {
  await using target = await startTarget((socket) => {
    socket.once('data', () => socket.resetAndDestroy());
  });
  await using link = await openGuardedLink();
  const { stream } = await link.connect(`127.0.0.1:${target.port}`);
  stream.write('hello');
  await closed(stream);
  assert.equal(stream.rstCode, 10);
  const record = await link.nextRecord();
  assert.equal(record.verdict, 'allowed');
  assert.match(record.reason ?? '', /broke the connection off/);
});

test('a reset by the guest is a reset for the target', async () => {
  const failed = Promise.withResolvers<string | undefined>();
  const connected = Promise.withResolvers<void>();
  await using target = await startTarget((socket) => {
    socket.on('error', (error: NodeJS.ErrnoException) => failed.resolve(error.code));
    socket.once('data', () => connected.resolve());
  });
  await using link = await openGuardedLink();
  const { stream } = await link.connect(`127.0.0.1:${target.port}`);
  stream.write('hello');
  await connected.promise;
  stream.destroy(new Error('the guest gives up'));
  assert.equal(await failed.promise, 'ECONNRESET');
  assert.match((await link.nextRecord()).reason ?? '', /broke the connection off/);
});

test('an upload that is broken off is a reset, also when the target had ended its side', async () => {
  const failed = Promise.withResolvers<string | undefined>();
  const connected = Promise.withResolvers<void>();
  await using target = await startTarget((socket) => {
    socket.end();
    socket.on('error', (error: NodeJS.ErrnoException) => failed.resolve(error.code));
    socket.on('end', () => failed.resolve('a clean end'));
    socket.once('data', () => connected.resolve());
  });
  await using link = await openGuardedLink();
  const { stream } = await link.connect(`127.0.0.1:${target.port}`);
  stream.resume();
  stream.write('half of it');
  await connected.promise;
  // Ends the stream with CANCEL, which is no error event at the other end.
  link.client.destroy();
  assert.equal(await failed.promise, 'ECONNRESET');
  assert.match((await link.nextRecord()).reason ?? '', /broke the connection off/);
});

test('a guest that leaves a download without an error frees its connection at once', async () => {
  const failed = Promise.withResolvers<string | undefined>();
  await using target = await startTarget((socket) => {
    socket.on('error', (error: NodeJS.ErrnoException) => failed.resolve(error.code));
    socket.write(Buffer.alloc(8 * MiB));
  });
  await using link = await openGuardedLink();
  const { stream } = await link.connect(`127.0.0.1:${target.port}`);
  stream.destroy();
  assert.match((await link.nextRecord()).reason ?? '', /broke the connection off/);
  assert.match((await failed.promise) ?? '', /^(?:ECONNRESET|EPIPE)$/);
});

test('when the carrier dies, all its tunnels die', async () => {
  const ended: Promise<void>[] = [];
  await using target = await startTarget((socket) => {
    ended.push(closed(socket));
    socket.resume();
  });
  await using link = await openGuardedLink();
  for (let count = 0; count < 5; count += 1) {
    const { stream } = await link.connect(`127.0.0.1:${target.port}`);
    stream.write('hello');
  }
  link.client.destroy();
  await Promise.all(ended);
  for (let count = 0; count < 5; count += 1) {
    assert.match((await link.nextRecord()).reason ?? '', /broke/);
  }
});

test('a tunnel on which nothing moves is closed, with the reason in its record', async () => {
  await using target = await startTarget((socket) => void socket.resume());
  await using link = await openGuardedLink({ limits: { idleTimeoutMs: 60 } });
  const { stream } = await link.connect(`127.0.0.1:${target.port}`);
  await closed(stream);
  assert.match((await link.nextRecord()).reason ?? '', /nothing moved/);
});

test('a guest that does not read is closed for idling too, and keeps no socket', async () => {
  await using target = await startTarget((socket) => {
    // Ends by itself when the other side is gone.
    pipeline(Readable.from(endless()), socket).catch(() => {});
  });
  await using link = await openGuardedLink({ limits: { idleTimeoutMs: 200 } });
  const { stream } = await link.connect(`127.0.0.1:${target.port}`);
  stream.pause();
  const record = await link.nextRecord();
  assert.match(record.reason ?? '', /nothing moved/);
  const [socket] = target.accepted as [Socket];
  await closed(socket);
});

function* endless(): Generator<Buffer> {
  const chunk = Buffer.alloc(64 * 1024);
  for (;;) yield chunk;
}

function* chunks(bytes: Buffer): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += 64 * 1024) yield bytes.subarray(at, at + 64 * 1024);
}

/** Waits until a counter stands still: twice the same, a quarter of a second apart. */
async function standstill(counter: () => number): Promise<number> {
  for (let last = -1; ;) {
    const now = counter();
    if (now === last && now > 0) return now;
    last = now;
    await new Promise((resolve) => setTimeout(resolve, 250));
  }
}

test('a download waits at its source while the guest does not read, then arrives whole', async () => {
  const payload = randomBytes(64 * MiB);
  await using target = await startTarget((socket) => {
    pipeline(Readable.from(chunks(payload)), socket).catch(() => {});
  });
  await using link = await openGuardedLink();
  const { stream } = await link.connect(`127.0.0.1:${target.port}`);
  stream.end();
  const [socket] = target.accepted as [Socket];
  // The kernel's buffers and the flow control window hold some; the tunnel must not hold the rest.
  assert.ok((await standstill(() => socket.bytesWritten)) < payload.length / 2);
  assert.equal(sha256(await buffer(stream)), sha256(payload));
  assert.equal((await link.nextRecord()).bytesDown, payload.length);
});

test('an upload waits in the guest while the target does not read, then arrives whole', async () => {
  const payload = randomBytes(32 * MiB);
  const connected = Promise.withResolvers<Socket>();
  await using target = await startTarget((socket) => connected.resolve(socket.pause()));
  await using link = await openGuardedLink();
  const { stream } = await link.connect(`127.0.0.1:${target.port}`);
  const socket = await connected.promise;
  stream.resume();
  let sent = 0;
  for (let offset = 0; offset < payload.length; offset += MiB) {
    stream.write(payload.subarray(offset, offset + MiB), () => (sent += 1));
  }
  stream.end();
  assert.ok((await standstill(() => sent)) < 32);
  const received = buffer(socket);
  assert.equal(sha256(await received), sha256(payload));
  socket.end();
  assert.equal((await link.nextRecord()).bytesUp, payload.length);
});
