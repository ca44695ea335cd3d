/** The resolver, asked by Node's own, and by bytes no honest program sends. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { Resolver as Client } from 'node:dns/promises';
import { once } from 'node:events';
import { type AddressInfo, connect } from 'node:net';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { portlessDatagram } from '@onejob/testing';
import fc from 'fast-check';
import * as dns from 'dns-packet';
import { RESOLVER_MESSAGE_BYTES } from '../limits.ts';
import { MadeUpAddresses } from './made-up-addresses.ts';
import { answerMessage, type NameVerdict, Resolver } from './resolver.ts';

const asked: string[] = [];
const verdicts: Record<string, NameVerdict> = {
  'forge.example': 'exists',
  'other.example': 'exists',
  'closed.example': 'refused',
  'slow.example': 'failed',
};
const addresses = new MadeUpAddresses();
const parts = {
  addresses,
  ask: async (name: string): Promise<NameVerdict> => {
    asked.push(name);
    // As far as the agent is: the second question comes meanwhile.
    await delay(50);
    return await Promise.resolve(verdicts[name] ?? 'unknown');
  },
};
const places = {
  udp: { port: 0, address: '127.0.0.1' },
  tcp: { port: 0, host: '127.0.0.1' },
};
const resolver = await Resolver.listen(places, parts);
after(() => resolver.close());
/** A client for one question: it would shorten its patience by what earlier answers took. */
function client(): Client {
  const made = new Client({ timeout: 5_000, tries: 1 });
  made.setServers([`127.0.0.1:${resolver.udp.address().port}`]);
  return made;
}

const codeOf = async (promise: Promise<unknown>): Promise<string> =>
  await promise.then(
    () => 'answered',
    (error: unknown) => (error as NodeJS.ErrnoException).code ?? '',
  );

test('a name that exists has one made-up address, however it is written, and is asked for once', async () => {
  asked.length = 0;
  const [first] = await client().resolve4('forge.example');
  assert.equal(addresses.nameOf(first ?? ''), 'forge.example');
  assert.deepEqual(await client().resolve4('Forge.EXAMPLE.'), [first]);
  const [other] = await client().resolve4('other.example');
  assert.notEqual(other, first);
  assert.deepEqual(asked, ['forge.example', 'other.example']);
  assert.deepEqual(await client().reverse(first ?? ''), ['forge.example']);
});

test('both kinds of addresses are asked for at once, and the agent for the name alone', async () => {
  verdicts['both.example'] = 'exists';
  asked.length = 0;
  const [made, none] = await Promise.allSettled([
    client().resolve4('both.example'),
    client().resolve6('both.example'),
  ]);
  assert.deepEqual([made.status, none.status], ['fulfilled', 'rejected']);
  assert.deepEqual(asked, ['both.example']);
  const unknown = ['resolve4', 'resolve6'] as const;
  await Promise.all(unknown.map((kind) => codeOf(client()[kind]('nowhere.example'))));
  assert.deepEqual(asked, ['both.example', 'nowhere.example']);
});

test('what cannot be had is said at once', async () => {
  await client().resolve4('forge.example');
  assert.equal(await codeOf(client().resolve6('forge.example')), 'ENODATA');
  assert.equal(await codeOf(client().resolve4('nobody.example')), 'ENOTFOUND');
  assert.equal(await codeOf(client().resolve4('closed.example')), 'EREFUSED');
  assert.equal(await codeOf(client().resolve6('closed.example')), 'EREFUSED');
  assert.equal(await codeOf(client().resolve4('slow.example')), 'ESERVFAIL');
  assert.equal(await codeOf(client().reverse('198.18.200.1')), 'ENOTFOUND');
  assert.equal(await codeOf(client().reverse('10.0.0.1')), 'ENOTFOUND');
  asked.length = 0;
  for (const question of ['MX', 'TXT', 'SRV', 'NS', 'ANY'] as const) {
    assert.equal(await codeOf(client().resolve('forge.example', question)), 'ENOTIMP', question);
  }
  assert.deepEqual(await client().resolve4('deep.onejob.localhost'), ['127.0.0.1']);
  assert.deepEqual(asked, []);
});

test('names that are none are not asked for', async () => {
  asked.length = 0;
  for (const name of ['a b.example', '-a.example', 'a_/b.example', 'a/b.example']) {
    const message = dns.encode({ type: 'query', id: 7, questions: [{ type: 'A', name }] });
    const answer = await answerMessage(message, parts);
    assert.equal((answer?.readUInt16BE(2) ?? 0) & 0xf, 3, name);
  }
  assert.deepEqual(asked, []);
});

test('questions over TCP, several in one piece and one in several', async () => {
  const { port } = resolver.tcp.address() as AddressInfo;
  const socket = connect(port, '127.0.0.1');
  const question = (id: number): Buffer =>
    dns.streamEncode({ type: 'query', id, questions: [{ type: 'A', name: 'forge.example' }] });
  socket.write(Buffer.concat([question(1), question(2), question(3).subarray(0, 5)]));
  let received = Buffer.alloc(0);
  const seen = new Set<number>();
  socket.on('data', (chunk: Buffer) => {
    received = Buffer.concat([received, chunk]);
    while (received.length >= 2 && received.length >= 2 + received.readUInt16BE(0)) {
      seen.add(dns.streamDecode(received).id ?? 0);
      received = received.subarray(2 + received.readUInt16BE(0));
      if (seen.size === 2) socket.write(question(3).subarray(5));
      if (seen.size === 3) socket.end();
    }
  });
  await once(socket, 'close');
  assert.deepEqual([...seen], [1, 2, 3]);
  const flood = connect(port, '127.0.0.1');
  flood.on('error', () => {}).write(Buffer.alloc(RESOLVER_MESSAGE_BYTES + 3, 0xff));
  await once(flood, 'close');
});

const isRoot = process.getuid?.() === 0;

test(
  'a question that comes from no port is not answered, and harms nobody',
  { skip: !isRoot },
  async () => {
    const question = dns.encode({
      ...{ type: 'query', id: 9 },
      questions: [{ type: 'A', name: 'forge.example' }],
    });
    const [command, ...args] = portlessDatagram(resolver.udp.address(), question);
    execFileSync(command, args);
    assert.equal((await client().resolve4('forge.example')).length, 1);
  },
);

test('no bytes end it, and each answer is an answer to its question', async () => {
  const whole = dns.encode({
    type: 'query',
    id: 9,
    questions: [{ type: 'A', name: 'forge.example' }],
  });
  const changed = fc
    .tuple(fc.nat(whole.length - 1), fc.nat(255), fc.nat(whole.length))
    .map(([at, value, end]) => {
      const bytes = Buffer.from(whole);
      bytes[at] = value;
      return bytes.subarray(0, end);
    });
  const anything = fc.uint8Array({ maxLength: 300 }).map((bytes) => Buffer.from(bytes));
  await fc.assert(
    fc.asyncProperty(fc.oneof(changed, anything), async (message) => {
      const answer = await answerMessage(message, parts);
      if (answer === undefined) return;
      assert.equal(answer.readUInt16BE(0), message.readUInt16BE(0));
      assert.equal(dns.decode(answer).type, 'response');
    }),
    { numRuns: 3000 },
  );
  const socket = createSocket('udp4');
  socket.send(Buffer.from([1]), resolver.udp.address().port, '127.0.0.1');
  assert.equal((await client().resolve4('forge.example')).length, 1);
  socket.close();
});
