/** ClientHellos of a real client, of a strict reading of the standard, and of nobody. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import {
  extension,
  helloMessage,
  inRecords,
  realClientHello,
  serverNames,
} from './_client-hello.ts';
import { readClientHello, type ClientHello } from './client-hello.ts';
import { CLIENT_HELLO_BYTES, CLIENT_HELLO_RECORDS } from './limits.ts';

const NAME = 'registry.example.org';
const plain = (serverName: string | undefined, isNameHidden = false): ClientHello => {
  return { kind: 'hello', serverName, isNameHidden };
};
const problemOf = (bytes: Buffer): string => {
  const hello = readClientHello(bytes);
  return hello.kind === 'malformed' ? hello.problem : hello.kind;
};

test('what a real client says is read, with a name and without', async () => {
  assert.deepEqual(readClientHello(await realClientHello('Registry.Example.Org')), plain(NAME));
  assert.deepEqual(readClientHello(await realClientHello(undefined)), plain(undefined));
});

test('a hello that comes in parts is incomplete until its last byte, and asks for no byte beyond', async () => {
  const whole = await realClientHello(NAME);
  const message = whole.subarray(5);
  for (const bytes of [whole, inRecords(message, Math.ceil(message.length / 3))]) {
    for (let count = 0; count < bytes.length; count += 1) {
      const hello = readClientHello(bytes.subarray(0, count));
      assert.equal(hello.kind, 'incomplete', String(count));
      assert.ok(hello.kind === 'incomplete' && hello.neededBytes > count);
      assert.ok(hello.neededBytes <= bytes.length);
    }
    assert.deepEqual(readClientHello(bytes), plain(NAME));
  }
});

test('a hello may be cut into some records, and not into many', () => {
  const message = helloMessage(serverNames(NAME));
  for (let records = 1; records <= CLIENT_HELLO_RECORDS; records += 1) {
    const bytes = inRecords(message, Math.ceil(message.length / records));
    assert.deepEqual(readClientHello(bytes), plain(NAME), String(records));
  }
  assert.equal(problemOf(inRecords(message, 1)), 'it is in too many records');
});

test('a hidden name is seen, whatever name stands beside it', () => {
  for (const type of [0xfe0d, 0xfe09, 0xffce]) {
    const message = helloMessage(serverNames(NAME), extension(type, Buffer.alloc(200)));
    assert.deepEqual(readClientHello(inRecords(message)), plain(NAME, true));
  }
});

test('what is not exactly one hello with one name is malformed', () => {
  const message = helloMessage(serverNames(NAME));
  const cases: [Buffer, RegExp][] = [
    [Buffer.from('GET / HTTP/1.1\r\n'), /no TLS/],
    [Buffer.from('SSH-2.0-OpenSSH_9.2\r\n'), /no TLS/],
    [Buffer.from([0x80, 0x2e, 1, 3, 1]), /no TLS/],
    [Buffer.from([22, 2, 0, 0, 10]), /no TLS/],
    [Buffer.from([22, 3, 1, 0, 0]), /wrong length/],
    [Buffer.from([22, 3, 1, 0xff, 0xff]), /wrong length/],
    [inRecords(Buffer.concat([Buffer.from([2]), message.subarray(1)])), /begin with a ClientHello/],
    [inRecords(Buffer.concat([message, message])), /left over/],
    [inRecords(Buffer.concat([message, Buffer.from([0])])), /left over/],
    [inRecords(helloMessage(serverNames(NAME, 'other.example.org'))), /left over/],
    [inRecords(helloMessage(serverNames(NAME), serverNames('other.example.org'))), /twice/],
    [inRecords(helloMessage(serverNames())), /too short/],
    [inRecords(helloMessage(serverNames(''))), /too short/],
    [inRecords(helloMessage(serverNames('a b'))), /no name/],
    [inRecords(helloMessage(serverNames('a\0b'))), /no name/],
    [inRecords(helloMessage(extension(0, Buffer.from([0, 4, 1, 0, 1, 65])))), /no known type/],
    [inRecords(helloMessage(serverNames(NAME), Buffer.from([0, 1, 2]))), /ends too early/],
    [inRecords(helloMessage(Buffer.from([0, 1, 0, 9, 1]))), /ends too early/],
  ];
  for (const [bytes, problem] of cases) assert.match(problemOf(bytes), problem);
});

test('a hello is refused for its length as soon as it is said', () => {
  const message = helloMessage(extension(21, Buffer.alloc(CLIENT_HELLO_BYTES)));
  assert.equal(problemOf(inRecords(message, 8000).subarray(0, 20)), 'it is too long');
});

test('no bytes make it throw, read what is not there, or find a name that is not in them', () => {
  const good = inRecords(helloMessage(serverNames(NAME), extension(43, Buffer.from([2, 3, 4]))));
  const change = fc.record({ at: fc.nat(good.length - 1), byte: fc.nat(255) });
  const mutated = fc.array(change, { minLength: 1, maxLength: 6 }).map((changes) => {
    const bytes = Buffer.from(good);
    for (const { at, byte } of changes) bytes[at] = byte;
    return bytes;
  });
  const cut = fc.tuple(mutated, fc.nat(good.length)).map(([bytes, end]) => bytes.subarray(0, end));
  const random = fc.uint8Array({ maxLength: 400 }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(fc.oneof(mutated, cut, random), (bytes) => {
      const hello = readClientHello(bytes);
      if (hello.kind === 'incomplete') assert.ok(hello.neededBytes > bytes.length);
      if (hello.kind !== 'hello' || hello.serverName === undefined) return;
      assert.ok(bytes.toString('latin1').toLowerCase().includes(hello.serverName));
    }),
    { numRuns: 20_000 },
  );
});
