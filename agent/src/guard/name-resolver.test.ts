/** Look-ups against a real DNS server that answers, lies by silence, and fails. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { startDnsServer, type DnsAnswer } from './_dns-server.ts';
import { createNameResolver } from './name-resolver.ts';

async function resolve(name: string, answer: DnsAnswer, timeoutMs = 3000) {
  await using dns = await startDnsServer(() => answer);
  const resolution = await createNameResolver([dns.address]).resolve(name, timeoutMs);
  return { resolution, questions: dns.questions };
}

test('all addresses of both versions are answered, each once', async () => {
  const addresses = ['93.184.215.14', '93.184.215.15', '2606:4700::1', '93.184.215.14'];
  const { resolution, questions } = await resolve('example.org', { addresses });
  assert.deepEqual(resolution, {
    kind: 'addresses',
    addresses: ['93.184.215.14', '93.184.215.15', '2606:4700::1'],
  });
  assert.deepEqual(questions.toSorted(), ['A example.org', 'AAAA example.org']);
});

test('a chain of aliases is followed to its addresses', async () => {
  const via = ['a.cdn.example.net', 'b.cdn.example.net'];
  const { resolution } = await resolve('example.org', { addresses: ['10.0.0.7'], via });
  assert.deepEqual(resolution, { kind: 'addresses', addresses: ['10.0.0.7'] });
});

test("the host's own file of names is not asked", async () => {
  // Every host's file has localhost.
  const { resolution, questions } = await resolve('localhost', { addresses: ['93.184.215.14'] });
  assert.deepEqual(resolution, { kind: 'addresses', addresses: ['93.184.215.14'] });
  assert.ok(questions.includes('A localhost'));
});

test('a name without addresses and a name that is not there are both nothing', async () => {
  assert.deepEqual((await resolve('a.org', 'no-such-name')).resolution, { kind: 'nothing' });
  assert.deepEqual((await resolve('a.org', { addresses: [] })).resolution, { kind: 'nothing' });
});

test('a failing resolver is told apart from a silent one', async () => {
  assert.deepEqual((await resolve('a.org', 'server-failure')).resolution, {
    kind: 'error',
    code: 'ESERVFAIL',
  });
  assert.deepEqual((await resolve('a.org', 'silence', 300)).resolution, { kind: 'timeout' });
});

test('silent resolvers are not waited for one after another beyond the deadline', async () => {
  await using undo = new AsyncDisposableStack();
  const servers: string[] = [];
  for (const answer of [...Array.from({ length: 9 }, () => 'silence' as const), 'late'] as const) {
    const answers: DnsAnswer = answer === 'late' ? { addresses: ['93.184.215.14'] } : answer;
    servers.push(undo.use(await startDnsServer(() => answers)).address);
  }
  // A third of the deadline for each: the last one, which answers, would come after three of them.
  const resolution = await createNameResolver(servers).resolve('a.org', 300);
  assert.deepEqual(resolution, { kind: 'timeout' });
});
