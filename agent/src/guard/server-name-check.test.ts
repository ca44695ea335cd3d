/** Allow-lists on port 443, through real carriers and TLS: who is let on, who is cut, and what came out. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectSocket, type Socket } from 'node:net';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { connect as connectTls, createServer as createTlsServer } from 'node:tls';
import { extension, helloMessage, inRecords, serverNames } from './_client-hello.ts';
import { startDnsServer } from './_dns-server.ts';
import { closed, openGuardedLink, startTarget } from './_guarded-link.ts';
import { readJobPolicy } from './job-policy.ts';
import { createNameResolver } from './name-resolver.ts';

const NAME = 'registry.example.org';
const AUTHORITY = `${NAME}:443`;

type Wish = { port?: number; helloMs?: number };

/** Port 443 of any name is a port of this host, and what came there is kept. */
async function open(policy: readonly string[], { port, helloMs = 30_000 }: Wish = {}) {
  await using undo = new AsyncDisposableStack();
  const heard: Buffer[] = [];
  const target = undo.use(
    await startTarget((socket: Socket) => void socket.on('data', (bytes) => heard.push(bytes))),
  );
  const dns = undo.use(await startDnsServer(() => ({ addresses: ['127.0.0.1'] })));
  const link = undo.use(
    await openGuardedLink({
      policy: readJobPolicy(policy),
      resolver: createNameResolver([dns.address]),
      limits: { clientHelloTimeoutMs: helloMs },
      connect: (host) => connectSocket({ host, port: port ?? target.port, allowHalfOpen: true }),
    }),
  );
  const owned = undo.move();
  return {
    ...{ dns, heard, link, target },
    [Symbol.asyncDispose]: async () => await owned.disposeAsync(),
  };
}

/** What is said there is refused by this rule and for this reason. */
async function assertCut(
  { link }: Awaited<ReturnType<typeof open>>,
  said: Buffer,
  rule: string,
  why: RegExp,
): Promise<void> {
  const { status, stream } = await link.connect(AUTHORITY);
  assert.equal(status, 200);
  stream.write(said);
  await closed(stream.resume());
  assert.equal(stream.rstCode, 10, rule);
  const record = await link.nextRecord();
  assert.deepEqual([record.verdict, record.rule, record.bytesUp], ['refused', rule, 0]);
  assert.match(record.reason ?? '', why);
}

/** A TLS server without a certificate: both sides know a key. */
const SHARED = { psk: Buffer.alloc(32, 5), identity: 'test' };
const CIPHERS = { ciphers: 'PSK', maxVersion: 'TLSv1.2' } as const;

test('TLS to the allowed name goes through, from its first byte to its last', async () => {
  const server = createTlsServer({ ...CIPHERS, pskCallback: () => SHARED.psk }, (socket) => {
    socket.on('error', () => {});
    socket.pipe(socket);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  try {
    const { port } = server.address() as { port: number };
    await using lab = await open(['*.example.org:443'], { port });
    const { status, stream } = await lab.link.connect(AUTHORITY);
    assert.equal(status, 200);
    const client = connectTls({
      ...CIPHERS,
      socket: stream,
      servername: NAME,
      pskCallback: () => SHARED,
      checkServerIdentity: () => undefined,
    });
    await once(client, 'secureConnect');
    const said = 'x'.repeat(200_000);
    client.end(said);
    assert.equal(await text(client), said);
    const record = await lab.link.nextRecord();
    assert.deepEqual([record.verdict, record.reason], ['allowed', undefined]);
    assert.ok(record.bytesUp > said.length && record.bytesDown > said.length);
  } finally {
    server.close();
    await once(server, 'close');
  }
});

test('the hello arrives whole and once, however small its parts, and what follows after it', async () => {
  await using lab = await open([NAME]);
  const { stream } = await lab.link.connect(AUTHORITY);
  const hello = inRecords(helloMessage(serverNames(NAME)), 30);
  for (const byte of hello.subarray(0, -1)) stream.write(Buffer.from([byte]));
  assert.equal(lab.heard.length, 0);
  stream.write(Buffer.concat([hello.subarray(-1), Buffer.from('and more')]));
  stream.end('.');
  stream.resume();
  const [socket] = lab.target.accepted;
  await once(socket!, 'end');
  socket!.end();
  assert.deepEqual(Buffer.concat(lab.heard), Buffer.concat([hello, Buffer.from('and more.')]));
  assert.equal((await lab.link.nextRecord()).bytesUp, hello.length + 'and more.'.length);
});

test('what is no TLS to the allowed name is cut by its rule, and no byte of it goes out', async () => {
  const hello = (...extensions: Buffer[]): Buffer => inRecords(helloMessage(...extensions));
  const cases: [Buffer, string, RegExp][] = [
    [hello(), 'tls-without-server-name', /names no server/],
    [hello(serverNames('evil.example.org')), 'tls-other-server-name', /evil\.example\.org/],
    [hello(serverNames(`x.${NAME}`)), 'tls-other-server-name', /for another server/],
    [hello(serverNames(`${NAME}.`)), 'tls-other-server-name', /for another server/],
    [hello(serverNames('example.org')), 'tls-other-server-name', /for another server/],
    [hello(serverNames('registry')), 'tls-other-server-name', /for another server/],
    [
      hello(serverNames(NAME), extension(0xfe0d, Buffer.alloc(150))),
      'tls-hidden-server-name',
      /ECH/,
    ],
    [hello(serverNames(NAME), serverNames('b.org')), 'tls-not-spoken', /twice/],
    [Buffer.from('GET / HTTP/1.1\r\n\r\n'), 'tls-not-spoken', /no TLS/],
  ];
  await using lab = await open(['*.example.org']);
  for (const each of cases) await assertCut(lab, ...each);
  for (const socket of lab.target.accepted) await closed(socket.resume());
  assert.equal(lab.target.accepted.length, cases.length);
  assert.deepEqual(lab.heard, []);
});

test('a hello that does not come whole in its time is cut, and no byte of it goes out', async () => {
  await using lab = await open(['*.example.org'], { helloMs: 300 });
  const half = inRecords(helloMessage(serverNames(NAME))).subarray(0, 60);
  await assertCut(lab, half, 'tls-not-spoken', /in time/);
  for (const socket of lab.target.accepted) await closed(socket.resume());
  assert.equal(lab.target.accepted.length, 1);
  assert.deepEqual(lab.heard, []);
});

test('a hello that ends too early is cut; a connection nobody used is none of TLS', async () => {
  await using lab = await open([NAME]);
  const short = await lab.link.connect(AUTHORITY);
  short.stream.resume().end(Buffer.from([22, 3, 1]));
  assert.equal((await lab.link.nextRecord()).rule, 'tls-not-spoken');
  const unused = await lab.link.connect(AUTHORITY);
  unused.stream.resume().end();
  const { verdict, reason } = await lab.link.nextRecord();
  assert.deepEqual([verdict, reason], ['allowed', undefined]);
});

test('who leaves before the hello is whole leaves nothing behind, on either side', async () => {
  await using lab = await open([NAME]);
  const left = await lab.link.connect(AUTHORITY);
  left.stream.write(Buffer.from([22]));
  left.stream.destroy(new Error('the guest gives up'));
  assert.match((await lab.link.nextRecord()).reason ?? '', /broke the connection off/);
  const dropped = await lab.link.connect(AUTHORITY);
  dropped.stream.resume().write(Buffer.from([22]));
  const [, socket] = lab.target.accepted;
  socket!.resetAndDestroy();
  await closed(dropped.stream);
  // Seen when something is said to it, or before.
  assert.notEqual((await lab.link.nextRecord()).rule, 'guard-failed');
});

test('TLS is looked at where a name is on an allow-list and the port is 443, and nowhere else', async () => {
  const cases: [string[], string][] = [
    [['audit'], AUTHORITY],
    [[NAME], `${NAME}:8443`],
    [['127.0.0.0/8'], '127.0.0.1:443'],
  ];
  for (const [policy, authority] of cases) {
    await using lab = await open(policy);
    const { status, stream } = await lab.link.connect(authority);
    assert.equal(status, 200, authority);
    stream.resume().end('no TLS at all');
    const [socket] = lab.target.accepted;
    await once(socket!, 'end');
    socket!.end();
    assert.equal(String(Buffer.concat(lab.heard)), 'no TLS at all');
    assert.equal((await lab.link.nextRecord()).verdict, 'allowed');
  }
});

test('a name that is on no list is asked of no resolver, and its look-up tells nobody anything', async () => {
  await using lab = await open(['*.example.org 127.0.0.1']);
  const secret = 'c2VjcmV0.evil.example.com:443';
  const { status, reason } = await lab.link.connect(secret);
  assert.equal(status, 403);
  assert.match(reason ?? '', /not on the allow-list of this job/);
  assert.equal((await lab.link.nextRecord()).rule, 'not-on-allow-list');
  assert.deepEqual(lab.dns.questions, []);
  // The control: the same resolver is asked for one that is.
  await lab.link.connect('a.example.org:80');
  assert.ok(lab.dns.questions.length > 0);
});
