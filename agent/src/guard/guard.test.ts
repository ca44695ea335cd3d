/** The guard's verdicts through real carriers, look-ups and connections. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectSocket, Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { buffer } from 'node:stream/consumers';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { newJobId } from '@onejob/protocol';
import { startDnsServer, type DnsAnswer } from './_dns-server.ts';
import { closed, openGuardedLink, startTarget } from './_guarded-link.ts';
import { connectTcp } from './dialler.ts';
import { createGuard } from './guard.ts';
import { AUDIT, NOTHING } from './job-policy.ts';
import { createNameResolver } from './name-resolver.ts';

const echo = (socket: Socket): void => void socket.pipe(socket);
/** Nobody may come by; a test counts who did. */
const unwanted = (socket: Socket): void => void socket.end('you should not read this');

test('an allowed connection carries bytes both ways and is recorded with its facts', async () => {
  await using target = await startTarget(echo);
  await using link = await openGuardedLink();
  const { status, reason, stream } = await link.connect(`127.0.0.1:${target.port}`);
  assert.deepEqual([status, reason], [200, undefined]);
  stream.end('ping');
  assert.equal(String(await buffer(stream)), 'ping');
  const { atMs, durationMs, ...facts } = await link.nextRecord();
  assert.ok(atMs > 0 && durationMs >= 0);
  assert.deepEqual(facts, {
    sandboxId: link.sandboxId,
    host: '127.0.0.1',
    port: target.port,
    address: '127.0.0.1',
    verdict: 'allowed',
    rule: 'hazardous-reachable-loopback',
    bytesUp: 4,
    bytesDown: 4,
  });
});

test('a name is looked up by the guard, once, and its address is in the record', async () => {
  await using target = await startTarget(echo);
  await using dns = await startDnsServer(() => ({ addresses: ['127.0.0.1'] }));
  await using link = await openGuardedLink({ resolver: createNameResolver([dns.address]) });
  const { status, stream } = await link.connect(`Mirror.Example.Org.:${target.port}`);
  assert.equal(status, 200);
  stream.end();
  stream.resume();
  const record = await link.nextRecord();
  assert.deepEqual([record.host, record.address], ['mirror.example.org', '127.0.0.1']);
  assert.deepEqual(dns.questions.toSorted(), ['A mirror.example.org', 'AAAA mirror.example.org']);
});

test('without the opening for tests, loopback is refused and nobody is connected to', async () => {
  await using target = await startTarget(unwanted);
  await using link = await openGuardedLink({ hazardousReachableLoopback: undefined } as never);
  for (const host of ['127.0.0.1', '127.1', '2130706433', '[::ffff:127.0.0.1]', 'localhost']) {
    const { status, reason } = await link.connect(`${host}:${target.port}`);
    assert.equal(status, 403, host);
    assert.match(reason ?? '', /^onejob refuses /, host);
    assert.equal((await link.nextRecord()).verdict, 'refused', host);
  }
  assert.equal(target.accepted.length, 0);
});

test('an answer that mixes a reachable and a refused address is refused as a whole', async () => {
  await using target = await startTarget(unwanted);
  for (const bad of ['10.0.0.1', 'fd00:ec2::254', '169.254.169.254', '::ffff:127.0.0.1']) {
    await using dns = await startDnsServer(() => ({ addresses: ['127.0.0.1', bad] }));
    await using link = await openGuardedLink({ resolver: createNameResolver([dns.address]) });
    const { status, reason } = await link.connect(`mixed.example.org:${target.port}`);
    assert.equal(status, 403, bad);
    assert.match(reason ?? '', /it leads to (?:a|an|the) /, bad);
    assert.equal((await link.nextRecord()).address, undefined, bad);
  }
  assert.equal(target.accepted.length, 0);
});

test('a chain of aliases that ends inside is refused', async () => {
  const answer: DnsAnswer = { addresses: ['192.168.0.1'], via: ['a.example.net', 'b.example.net'] };
  await using dns = await startDnsServer(() => answer);
  await using link = await openGuardedLink({ resolver: createNameResolver([dns.address]) });
  assert.equal((await link.connect('chain.example.org:80')).status, 403);
  assert.equal((await link.nextRecord()).rule, 'private-address');
});

test('aliases that go round, or on and on without an address, lead nowhere', async () => {
  const chains: Record<string, DnsAnswer> = {
    'round.example.org': { addresses: [], via: ['b.example.net', 'round.example.org'] },
    'self.example.org': { addresses: [], via: ['self.example.org'] },
    'long.example.org': {
      addresses: [],
      via: Array.from({ length: 40 }, (_, index) => `n${index}.example.net`),
    },
  };
  await using dns = await startDnsServer((name) => chains[name] ?? 'no-such-name');
  await using link = await openGuardedLink({ resolver: createNameResolver([dns.address]) });
  for (const name of Object.keys(chains)) {
    const { status } = await link.connect(`${name}:80`);
    assert.equal(status, 502, name);
    assert.equal((await link.nextRecord()).verdict, 'failed', name);
  }
});

test('a long chain of aliases is judged by the address at its end, wherever its names lead', async () => {
  const via = Array.from({ length: 30 }, (_, index) => `n${index}.internal`);
  await using dns = await startDnsServer((name) => ({
    addresses: [name.startsWith('in') ? '10.1.2.3' : '127.0.0.1'],
    via,
  }));
  await using target = await startTarget((socket) => void socket.end('checked'));
  await using link = await openGuardedLink({ resolver: createNameResolver([dns.address]) });
  assert.equal((await link.connect(`in.example.org:${target.port}`)).status, 403);
  assert.equal((await link.nextRecord()).rule, 'private-address');
  assert.equal(target.accepted.length, 0);
  const { status, stream } = await link.connect(`out.example.org:${target.port}`);
  assert.equal(status, 200);
  stream.end().resume();
  await link.nextRecord();
});

test('each connection is judged anew: a name that turns private is refused from then on', async () => {
  const turns = ['127.0.0.1', '169.254.169.254', '127.0.0.1', '10.0.0.1'];
  let asked = 0;
  await using dns = await startDnsServer(() => {
    // Both record types of one connection get the same address.
    const address = turns[Math.floor(asked / 2)]!;
    asked += 1;
    return { addresses: [address] };
  });
  await using target = await startTarget((socket) => void socket.end('checked'));
  await using link = await openGuardedLink({ resolver: createNameResolver([dns.address]) });
  const statuses: number[] = [];
  for (const _turn of turns) {
    const { status, stream } = await link.connect(`turning.example.org:${target.port}`);
    stream.end().resume();
    await link.nextRecord();
    statuses.push(status);
  }
  assert.deepEqual(statuses, [200, 403, 200, 403]);
  assert.equal(target.accepted.length, 2);
});

test('names are refused for their form or port before anybody is asked', async () => {
  await using dns = await startDnsServer(() => ({ addresses: ['127.0.0.1'] }));
  await using link = await openGuardedLink({ resolver: createNameResolver([dns.address]) });
  const rules: Record<string, string> = {
    'secret.example.org:25': 'refused-port',
    'Secret.Example.Org.:25': 'refused-port',
    'secret.example.org..:80': 'malformed-authority',
    'secret..example.org:80': 'malformed-authority',
    'secret.xn--org-.example.com:80': 'malformed-authority',
    [`${'a.'.repeat(127)}org:80`]: 'malformed-authority',
    'secret.internal:80': 'local-name',
    'secret:80': 'local-name',
    'metadata.packet.net:80': 'metadata-name',
  };
  for (const [authority, rule] of Object.entries(rules)) {
    await link.connect(authority);
    assert.equal((await link.nextRecord()).rule, rule, authority);
  }
  assert.deepEqual(dns.questions, []);
});

test('answers that change between look-ups do not matter: what was checked is what is dialled', async () => {
  await using wanted = await startTarget((socket) => void socket.end('checked'));
  const dialled: string[] = [];
  let looked = 0;
  await using dns = await startDnsServer(() => {
    looked += 1;
    // The first A and AAAA are harmless, every later look-up rebinds.
    return { addresses: [looked <= 2 ? '127.0.0.1' : '127.0.0.66'] };
  });
  await using link = await openGuardedLink({
    resolver: createNameResolver([dns.address]),
    connect: (host, port) => {
      dialled.push(host);
      return connectSocket({ host, port, allowHalfOpen: true });
    },
  });
  const { status, stream } = await link.connect(`rebind.example.org:${wanted.port}`);
  assert.equal(status, 200);
  stream.end();
  assert.equal(String(await buffer(stream)), 'checked');
  assert.deepEqual(dialled, ['127.0.0.1']);
  assert.equal(dns.questions.length, 2);
  // The control: a second look-up would have led elsewhere.
  const again = await createNameResolver([dns.address]).resolve('rebind.example.org', 3000);
  assert.deepEqual(again, { kind: 'addresses', addresses: ['127.0.0.66'] });
});

test('policy none asks no resolver', async () => {
  await using dns = await startDnsServer(() => ({ addresses: ['127.0.0.1'] }));
  await using link = await openGuardedLink({
    policy: NOTHING,
    resolver: createNameResolver([dns.address]),
  });
  const { status, reason } = await link.connect('secret-in-a-name.example.org:443');
  assert.equal(status, 403);
  assert.match(reason ?? '', /may not use the network/);
  assert.deepEqual(dns.questions, []);
});

test('what cannot be resolved or connected to is told apart by status and rule', async () => {
  const answers: Record<string, DnsAnswer> = {
    'missing.example.org': 'no-such-name',
    'broken.example.org': 'server-failure',
    'silent.example.org': 'silence',
    'closed.example.org': { addresses: ['127.0.0.1'] },
  };
  const unused = await startTarget(unwanted);
  await unused[Symbol.asyncDispose]();
  await using dns = await startDnsServer((name) => answers[name] ?? 'no-such-name');
  const resolver = createNameResolver([dns.address]);
  await using link = await openGuardedLink({ resolver });
  await using hasty = await openGuardedLink({ resolver, limits: { resolveTimeoutMs: 300 } });
  const outcomes: [string, number, string][] = [
    ['missing.example.org', 502, 'name-without-address'],
    ['broken.example.org', 502, 'resolver-failed'],
    ['silent.example.org', 504, 'resolve-timeout'],
    ['closed.example.org', 502, 'connect-failed'],
  ];
  for (const [host, status, rule] of outcomes) {
    const asked = rule === 'resolve-timeout' ? hasty : link;
    const answer = await asked.connect(`${host}:${unused.port}`);
    assert.equal(answer.status, status, host);
    assert.ok(answer.reason?.includes(host), answer.reason);
    const record = await asked.nextRecord();
    assert.deepEqual([record.verdict, record.rule], ['failed', rule]);
  }
});

test('a target that never answers ends in 504, and the attempt is dropped', async () => {
  const hanging: Socket[] = [];
  await using link = await openGuardedLink({
    connect: () => hanging[hanging.push(new Socket()) - 1]!,
    limits: { connectTimeoutMs: 50 },
  });
  const { status } = await link.connect('127.0.0.1:9');
  assert.equal(status, 504);
  assert.equal((await link.nextRecord()).rule, 'connect-timeout');
  assert.deepEqual(
    hanging.map((socket) => socket.destroyed),
    [true],
  );
});

test('malformed authorities are answered 400 with what is wrong', async () => {
  await using link = await openGuardedLink();
  for (const authority of [
    'example.org',
    'example.org:0',
    '[127.0.0.1]:80',
    `${'a'.repeat(64)}.org:80`,
  ]) {
    const { status, reason } = await link.connect(authority);
    assert.equal(status, 400, authority);
    assert.match(reason ?? '', /cannot read/, authority);
    assert.equal((await link.nextRecord()).rule, 'malformed-authority');
  }
});

test('a peer that is not the checked address is refused before a byte passes', async () => {
  await using elsewhere = await startTarget(unwanted, '127.0.0.2');
  await using link = await openGuardedLink({
    connect: (_host, port) => connectSocket({ host: '127.0.0.2', port, allowHalfOpen: true }),
  });
  const { status } = await link.connect(`127.0.0.1:${elsewhere.port}`);
  assert.equal(status, 403);
  assert.equal((await link.nextRecord()).rule, 'unexpected-peer');
});

test('a peer that breaks off before it is looked at has failed, and is not called another', async () => {
  const code = `const server = require('net').createServer((socket) => socket.resetAndDestroy());
server.listen(0, '127.0.0.1', () => require('worker_threads').parentPort.postMessage(server.address().port));`;
  await using target = new Worker(code, { eval: true });
  const [port] = (await once(target, 'message')) as [number];
  // This thread is busy while the reset comes.
  const wait = (): void => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  await using link = await openGuardedLink({
    connect: (address, to) => connectTcp(address, to).once('connect', wait),
  });
  assert.equal((await link.connect(`127.0.0.1:${port}`)).status, 502);
  const { verdict, rule } = await link.nextRecord();
  assert.deepEqual([verdict, rule], ['failed', 'connect-failed']);
});

test('an address of the host that no list names is still known by its source address', async (t) => {
  const inside = Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .find(({ address }) => /^(?:10\.|192\.168\.|f[cd])/.test(address));
  if (inside === undefined) return t.skip('this host has no private address to try it with');
  const { address, family } = inside;
  await using target = await startTarget(unwanted, address);
  await using link = await openGuardedLink({
    hazardousReachableRanges: [`${address}/${family === 'IPv6' ? 128 : 32}`],
    ownAddresses: () => [],
  });
  const host = family === 'IPv6' ? `[${address}]` : address;
  assert.equal((await link.connect(`${host}:${target.port}`)).status, 403);
  assert.equal((await link.nextRecord()).rule, 'own-address');
});

test('a sandbox over its limit of connections is refused until one ends; others are not', async () => {
  await using target = await startTarget(echo);
  await using link = await openGuardedLink({ limits: { connectionsPerSandbox: 2 } });
  const authority = `127.0.0.1:${target.port}`;
  const first = await link.connect(authority);
  const second = await link.connect(authority);
  const third = await link.connect(authority);
  assert.deepEqual([first.status, second.status, third.status], [200, 200, 403]);
  assert.match(third.reason ?? '', /2 connections open/);
  assert.equal((await link.nextRecord()).rule, 'connection-limit');
  first.stream.end();
  first.stream.resume();
  await link.nextRecord();
  const fourth = await link.connect(authority);
  assert.equal(fourth.status, 200);
  for (const { stream } of [second, fourth]) stream.destroy();
});

test('connections that are over do not count, however many there were', async () => {
  await using target = await startTarget(echo);
  await using link = await openGuardedLink({ limits: { connectionsPerSandbox: 1 } });
  for (let count = 0; count < 3; count += 1) {
    const { status, stream } = await link.connect(`127.0.0.1:${target.port}`);
    assert.equal(status, 200);
    stream.end().resume();
    await link.nextRecord();
  }
});

test('a guest that leaves while it is connected to leaves nothing behind', async () => {
  const hanging = Promise.withResolvers<Socket>();
  await using link = await openGuardedLink({
    connect: () => {
      const socket = new Socket();
      hanging.resolve(socket);
      return socket;
    },
  });
  const stream = link.request('127.0.0.1:9');
  const socket = await hanging.promise;
  stream.close(8);
  const record = await link.nextRecord();
  assert.deepEqual([record.verdict, record.rule], ['failed', 'abandoned']);
  assert.equal(socket.destroyed, true);
});

test('the next address is tried when one fails or hangs', async () => {
  await using target = await startTarget(echo);
  const hanging: Socket[] = [];
  const addresses = ['127.0.0.9', '::1', '127.0.0.1'];
  await using dns = await startDnsServer(() => ({ addresses }));
  await using link = await openGuardedLink({
    resolver: createNameResolver([dns.address]),
    limits: { attemptDelayMs: 20 },
    connect: (host, port) => {
      if (host === '127.0.0.9') return hanging[hanging.push(new Socket()) - 1]!;
      return connectSocket({ host, port, allowHalfOpen: true });
    },
  });
  const { status, stream } = await link.connect(`many.example.org:${target.port}`);
  assert.equal(status, 200);
  assert.deepEqual(
    hanging.map((socket) => socket.destroyed),
    [true],
  );
  stream.destroy();
  assert.equal((await link.nextRecord()).address, '127.0.0.1');
});

test('a part that breaks its promise closes its connection, not the agent', async () => {
  await using link = await openGuardedLink({
    resolver: { resolve: async () => await Promise.reject(new Error('resolver exploded')) },
  });
  const { status, reason } = await link.connect('example.org:443');
  assert.equal(status, 502);
  assert.match(reason ?? '', /resolver exploded/);
  assert.equal((await link.nextRecord()).rule, 'guard-failed');
});

test('the job is named in the record when there is one', async () => {
  const records: unknown[] = [];
  const guard = createGuard({ records: (record) => records.push(record.jobId) });
  await using link = await openGuardedLink();
  const jobId = newJobId(1);
  const stream = { destroyed: true, closed: true, on() {}, once() {} };
  const context = { sandboxId: link.sandboxId, jobId, policy: () => AUDIT };
  await guard.handleConnect(stream as never, '10.0.0.1:80', context);
  assert.deepEqual(records, [jobId]);
});

test('after many connections of every outcome no socket, timer or stream is left', async () => {
  await using target = await startTarget(echo);
  await using dns = await startDnsServer((name) =>
    name.startsWith('a') ? { addresses: ['127.0.0.1'] } : 'no-such-name',
  );
  await using link = await openGuardedLink({ resolver: createNameResolver([dns.address]) });
  const { port } = target;
  // What comes and goes with each turn of the event loop is no leak.
  const resources = (): string =>
    process
      .getActiveResourcesInfo()
      .filter((name) => name !== 'Immediate' && name !== 'ConnectWrap')
      .toSorted()
      .join();
  const before = resources();
  const authorities = ['127.0.0.1', 'a.example.org', 'b.example.org', '10.0.0.1', '127.0.0.1.1'];
  await Promise.all(
    Array.from({ length: 50 }, async (_, index) => {
      const { stream } = await link.connect(`${authorities[index % authorities.length]}:${port}`);
      if (index % 2 === 0) stream.destroy();
      else stream.end('x').resume();
      await closed(stream);
      await link.nextRecord();
    }),
  );
  for (const socket of target.accepted) await closed(socket);
  // Destroyed handles leave the list with the next turns of the event loop.
  for (let turn = 0; turn < 50 && resources() !== before; turn += 1) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  assert.equal(resources(), before);
});
