/** The resolver over real datagrams, asked by Node's own DNS client. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { Resolver } from 'node:dns/promises';
import { once } from 'node:events';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import * as dns from 'dns-packet';
import fc from 'fast-check';
import { checkLeaksAfterEach } from '../../tests/_leaks.ts';
import type { LookedUp } from '../guard/guard.ts';
import { MESSAGE_BYTES } from './limits.ts';
import { startResolver, type SandboxResolver } from './resolver.ts';

checkLeaksAfterEach();

const LOOPBACK = '127.0.0.1';
/** More than a message holds. */
const MANY = Array.from({ length: 40 }, (_, index) => [`8.8.8.${index}`, `2600::${index}`]).flat();
const start = async (
  lookUp: (name: string) => Promise<LookedUp>,
  changes: { inside?: string; hasIpv6?: boolean } = {},
): Promise<SandboxResolver> =>
  await startResolver({ outside: LOOPBACK, inside: LOOPBACK, hasIpv6: true, lookUp, ...changes });

/** A client for one question: it would shorten its patience by what earlier answers took. */
function clientOf({ port }: SandboxResolver, timeout = 5_000): Resolver {
  const client = new Resolver({ tries: 1, timeout });
  client.setServers([`${LOOPBACK}:${port}`]);
  return client;
}

test('a name is looked up once for both of its types, and its addresses are remembered', async () => {
  const asked: string[] = [];
  await using resolver = await start(async (name) => {
    asked.push(name);
    await sleep(20);
    return { kind: 'addresses', addresses: ['93.184.215.14', '2606:4700::1111'] };
  });
  const answers = await Promise.all([
    clientOf(resolver).resolve4('public.example.org'),
    clientOf(resolver).resolve6('public.example.org'),
  ]);
  assert.deepEqual(answers, [['93.184.215.14'], ['2606:4700::1111']]);
  assert.deepEqual(asked, ['public.example.org']);
  assert.equal(resolver.nameOf('2606:4700::1111'), 'public.example.org');
  assert.equal(resolver.nameOf('1.1.1.1'), undefined);
});

test('each outcome has its answer, also that the guard itself failed', async () => {
  const kinds: Record<string, LookedUp> = {
    refused: { kind: 'refused' },
    nothing: { kind: 'nothing' },
    failed: { kind: 'failed' },
  };
  await using resolver = await start(async (name) => {
    const outcome = kinds[name.split('.')[0] ?? ''];
    return outcome === undefined ? await Promise.reject(new Error('broken')) : outcome;
  });
  await assert.rejects(clientOf(resolver).resolve4('refused.example'), { code: 'EREFUSED' });
  await assert.rejects(clientOf(resolver).resolve4('nothing.example'), { code: 'ENOTFOUND' });
  await assert.rejects(clientOf(resolver).resolve4('failed.example'), { code: 'ESERVFAIL' });
  await assert.rejects(clientOf(resolver).resolve4('thrown.example'), { code: 'ESERVFAIL' });
});

test('a sandbox without IPv6 is told none, and it is told so', async () => {
  const addresses = ['93.184.215.14', '2606:4700::1111'];
  await using resolver = await start(
    async () => await Promise.resolve({ kind: 'addresses', addresses } as const),
    { hasIpv6: false },
  );
  assert.deepEqual(await clientOf(resolver).resolve4('a.example'), ['93.184.215.14']);
  await assert.rejects(clientOf(resolver).resolve6('a.example'), { code: 'ENODATA' });
});

test('only the sandbox is heard', async () => {
  let asked = 0;
  await using resolver = await start(
    async () => {
      asked += 1;
      return await Promise.resolve({ kind: 'nothing' } as const);
    },
    { inside: '127.0.0.2' },
  );
  await assert.rejects(clientOf(resolver, 300).resolve4('a.example'), { code: 'ETIMEOUT' });
  assert.equal(asked, 0);
});

test('what asks for nothing that it has is not looked up', async () => {
  let asked = 0;
  await using resolver = await start(async () => {
    asked += 1;
    return await Promise.resolve({ kind: 'nothing' } as const);
  });
  await assert.rejects(clientOf(resolver).resolveTxt('a.example'), { code: 'ENOTIMP' });
  await using socket = createSocket('udp4').bind(0, LOOPBACK);
  await once(socket, 'listening');
  const question = { name: 'a.example', type: 'A', class: 'IN' } as const;
  const query = { type: 'query', id: 7 } as const;
  const unanswered = [
    Buffer.from('no message of DNS'),
    dns.encode({ ...query, questions: [] }),
    dns.encode({ ...query, questions: [question, question] }),
    dns.encode({ ...query, questions: [{ ...question, class: 'CH' }] }),
    dns.encode({ type: 'response', id: 7, questions: [question] }),
    Buffer.concat([dns.encode({ ...query, questions: [question] }), Buffer.alloc(600)]),
  ];
  for (const message of unanswered) socket.send(message, resolver.port, LOOPBACK);
  socket.send(dns.encode({ ...query, id: 8, questions: [question] }), resolver.port, LOOPBACK);
  const [answer] = (await once(socket, 'message')) as [Buffer];
  assert.equal(dns.decode(answer).id, 8);
  assert.equal(asked, 1);
});

test('any bytes are a question or none, and its answer repeats it', async () => {
  await using resolver = await start(async (name) => {
    await Promise.resolve();
    return name.startsWith('n') ? { kind: 'nothing' } : { kind: 'addresses', addresses: MANY };
  });
  await using socket = createSocket('udp4').bind(0, LOOPBACK);
  await once(socket, 'listening');
  const label = fc.stringMatching(/^[a-zA-Z0-9_-]{1,63}$/);
  const name = fc.array(label, { minLength: 1, maxLength: 3 }).map((labels) => labels.join('.'));
  const type = fc.constantFrom('A', 'AAAA', 'UNKNOWN_65', 'MX');
  let id = 0;
  await fc.assert(
    fc.asyncProperty(name, type, fc.uint8Array({ maxLength: 600 }), async (asked, kind, noise) => {
      id += 1;
      const question = { name: asked, type: kind as dns.RecordType, class: 'IN' } as const;
      const answered = once(socket, 'message', { signal: AbortSignal.timeout(5_000) });
      socket.send(noise, resolver.port, LOOPBACK);
      const query = dns.encode({ type: 'query', id, questions: [question] });
      socket.send(query, resolver.port, LOOPBACK);
      const [message] = (await answered) as [Buffer];
      const answer = dns.decode(message);
      assert.equal(answer.id, id);
      assert.deepEqual(answer.questions, [question]);
      const answers = answer.answers ?? [];
      assert.ok(message.length <= MESSAGE_BYTES || answers.length === 1);
      assert.ok(answers.every((one) => one.name === asked && one.type === kind));
      const isTold = (kind === 'A' || kind === 'AAAA') && !asked.toLowerCase().startsWith('n');
      assert.equal(answers.length > 0, isTold);
    }),
    { numRuns: 200 },
  );
});
