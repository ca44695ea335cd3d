/** JSON lines: whatever the chunks, the same messages; whatever the sender, bounded. */
import assert from 'node:assert/strict';
import { PassThrough, Readable, Writable } from 'node:stream';
import { test } from 'node:test';
import fc from 'fast-check';
import { LINK_UNREAD_BYTES } from '../limits.ts';
import { readJsonLines, writeJsonLine } from './json-lines.ts';

async function readAll(chunks: readonly Buffer[], longestLineBytes = 1000): Promise<unknown[]> {
  return await Array.fromAsync(readJsonLines(Readable.from(chunks), longestLineBytes));
}

test('messages are the same however their bytes are cut', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.json({ maxDepth: 2 }).filter((text) => Buffer.byteLength(text) <= 1000)),
      fc.array(fc.nat(50), { maxLength: 200 }),
      async (texts, cuts) => {
        const bytes = Buffer.from(texts.map((text) => `${text}\n`).join(''));
        const chunks: Buffer[] = [];
        let from = 0;
        for (const cut of cuts) {
          if (cut > 0) chunks.push(bytes.subarray(from, from + cut));
          from += cut;
        }
        chunks.push(bytes.subarray(from));
        const nonEmpty = chunks.filter((chunk) => chunk.length > 0);
        assert.deepEqual(
          await readAll(nonEmpty),
          texts.map((text) => JSON.parse(text) as unknown),
        );
      },
    ),
    { numRuns: 200 },
  );
});

test('a line of exactly the limit passes; one byte more does not, ended or not, in any cut', async () => {
  const fits = Buffer.from(`"${'x'.repeat(98)}"\n`);
  const tooLong = Buffer.from(`"${'x'.repeat(99)}"`);
  for (let size = 1; size <= tooLong.length; size++) {
    const cut = (bytes: Buffer): Buffer[] =>
      Array.from({ length: Math.ceil(bytes.length / size) }, (_, at) =>
        bytes.subarray(at * size, (at + 1) * size),
      );
    assert.equal((await readAll(cut(fits), 100)).length, 1);
    for (const bytes of [tooLong, Buffer.concat([tooLong, Buffer.from('\n')])]) {
      await assert.rejects(readAll(cut(bytes), 100), {
        code: 'guest_protocol',
        message: /more than 100 bytes/,
      });
    }
  }
});

test('an endless line is refused at the limit, not held', async () => {
  let sent = 0;
  const endless = Readable.from(
    (function* () {
      for (;;) {
        sent += 1;
        yield Buffer.alloc(1000, 'x');
      }
    })(),
  );
  await assert.rejects(Array.fromAsync(readJsonLines(endless, 100_000)), /more than 100000 bytes/);
  assert.ok(sent <= 200, `${sent} chunks were read`);
});

test('what is not JSON, or breaks off, is the guest breaking the protocol', async () => {
  for (const text of ['{', '', '{"a":1}}', "{'a':1}", '\0', '['.repeat(900)]) {
    await assert.rejects(readAll([Buffer.from(`${text}\n`)]), { code: 'guest_protocol' });
  }
  await assert.rejects(readAll([Buffer.from('{"a":1}\n{"b"')]), {
    code: 'guest_protocol',
    message: /inside a message/,
  });
});

test('a stream that is destroyed throws what it was destroyed with, and leaving early leaves it open', async () => {
  const stream = new PassThrough();
  stream.write('1\n2\n');
  for await (const message of readJsonLines(stream, 100)) {
    assert.equal(message, 1);
    break;
  }
  assert.equal(stream.destroyed, false);
  stream.destroy(new Error('reset'));
  await assert.rejects(Array.fromAsync(readJsonLines(stream, 100)), /reset/);
});

test('a peer that does not read is cut off before it costs memory', () => {
  const stream = new Writable({ write: () => {} });
  stream.on('error', () => {});
  const line = Buffer.alloc(1024 * 1024, 'x');
  let lines = 0;
  while (!stream.destroyed && lines < 100) {
    writeJsonLine(stream, line);
    lines += 1;
  }
  assert.equal(lines, Math.floor(LINK_UNREAD_BYTES / line.length) + 1);
  assert.equal((stream.errored as { code?: string } | null)?.code, 'guest_protocol');
  writeJsonLine(stream, line);
});
