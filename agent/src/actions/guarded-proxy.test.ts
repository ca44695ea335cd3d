/** The proxy of one git: whom it serves, what it lets through, and that it ends. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { request, type IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { test } from 'node:test';
import { text } from 'node:stream/consumers';
import { newSandboxId } from '@onejob/protocol';
import { closed, startTarget } from '../guard/_guarded-link.ts';
import type { EgressRecord } from '../guard/egress-record.ts';
import { createGuard } from '../guard/guard.ts';
import { AUDIT } from '../guard/job-policy.ts';
import { GuardedProxy } from './guarded-proxy.ts';

const context = { sandboxId: newSandboxId(), policy: () => AUDIT };

async function open(bytes = 1_000_000): Promise<{ proxy: GuardedProxy; records: EgressRecord[] }> {
  const records: EgressRecord[] = [];
  const guard = createGuard({
    records: (record) => records.push(record),
    hazardousReachableLoopback: 'only-in-tests',
  });
  return { proxy: await GuardedProxy.open({ guard, context, bytes }), records };
}

/** A CONNECT with these credentials; the socket is the caller's to end. */
async function connectTo(
  proxy: GuardedProxy,
  authority: string,
  user = new URL(proxy.url),
): Promise<{ status: number; socket: Socket }> {
  const asked = request({
    host: '127.0.0.1',
    port: new URL(proxy.url).port,
    method: 'CONNECT',
    path: authority,
    headers: { 'proxy-authorization': `Basic ${btoa(`${user.username}:${user.password}`)}` },
  });
  asked.end();
  const [answer, socket] = (await once(asked, 'connect')) as [IncomingMessage, Socket];
  socket.on('error', () => {});
  return { status: answer.statusCode ?? 0, socket };
}

test('a tunnel carries bytes both ways, each way to its own end, and is in the sandbox’s record', async () => {
  await using target = await startTarget((socket) => {
    void text(socket).then((said) => socket.end(`you said ${said}`));
  });
  const { proxy, records } = await open();
  await using _proxy = proxy;
  const { socket, status } = await connectTo(proxy, `127.0.0.1:${target.port}`);
  assert.equal(status, 200);
  socket.end('hello');
  assert.equal(await text(socket), 'you said hello');
  await proxy[Symbol.asyncDispose]();
  assert.deepEqual(
    records.map(({ bytesDown, bytesUp, sandboxId, verdict }) => [
      sandboxId,
      verdict,
      bytesUp,
      bytesDown,
    ]),
    [[context.sandboxId, 'allowed', 5, 14]],
  );
});

test('who does not know the password is served nothing', async () => {
  await using target = await startTarget(() => {});
  const { proxy, records } = await open();
  await using _proxy = proxy;
  const authority = `127.0.0.1:${target.port}`;
  const { socket, status } = await connectTo(proxy, authority, new URL('http://git:wrong@x'));
  socket.destroy();
  assert.equal(status, 407);
  const plain = request({ port: new URL(proxy.url).port, path: `http://${authority}/` }).end();
  const [answer] = (await once(plain, 'response')) as [IncomingMessage];
  answer.resume();
  assert.equal(answer.statusCode, 407);
  assert.deepEqual([target.accepted.length, records.length], [0, 0]);
});

test('more bytes than are allowed, and its own end, break everything off', async () => {
  const block = Buffer.alloc(64 * 1024);
  await using target = await startTarget((socket) => {
    const pour = (): void => void (socket.destroyed || socket.write(block, pour));
    pour();
  });
  const { proxy } = await open(10 * block.length);
  await using _proxy = proxy;
  const flooded = await connectTo(proxy, `127.0.0.1:${target.port}`);
  flooded.socket.resume();
  await closed(flooded.socket);
  assert.ok(proxy.isOverLimit);
  const { proxy: other } = await open(1e12);
  const open2 = await connectTo(other, `127.0.0.1:${target.port}`);
  open2.socket.resume();
  await other[Symbol.asyncDispose]();
  await closed(open2.socket);
  await Promise.all(target.accepted.map(async (socket) => await closed(socket)));
});

test('what the guard refuses is refused, with its sentence kept', async () => {
  const { proxy, records } = await open();
  await using _proxy = proxy;
  const { socket, status } = await connectTo(proxy, '10.0.0.1:443');
  socket.destroy();
  assert.equal(status, 502);
  assert.match(proxy.notConnected?.reason ?? '', /10\.0\.0\.1:443: it is a private address/);
  assert.equal(records[0]?.verdict, 'refused');
});
