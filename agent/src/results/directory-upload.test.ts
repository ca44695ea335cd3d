import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { afterEach, beforeEach, test } from 'node:test';
import { DirectoryUpload } from './directory-upload.ts';
import { DiskRoom } from './disk-room.ts';
import { HOST_FREE_BYTES } from '../limits.ts';
import { BLOCK_ID_CHARACTERS, ENTRY_BYTES, UPLOAD_BLOCKS } from './limits.ts';
import { receiveFile } from './receive.ts';
import type { Body, Content, Entry } from './store.ts';

let directory = '';
let upload: DirectoryUpload;
let held = 0;
let freeBytes = 0;
let forgotten = 0;
let kept: { text: string; content: Content }[] = [];
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'onejob-upload-'));
  [held, forgotten, kept, freeBytes] = [0, 0, [], Infinity];
  await mkdir(join(directory, 'mine'));
  const room = new DiskRoom(async () => await Promise.resolve(HOST_FREE_BYTES + freeBytes));
  const draft = {
    name: { kind: 'artifact', runId: 'r', attempt: 1, name: 'a' } as const,
    jobId: 'j',
    mimeType: '',
    expiresAtMs: 0,
  };
  upload = new DirectoryUpload(
    join(directory, 'mine'),
    draft,
    { take: (bytes) => (held += bytes), giveBack: (bytes) => (held -= bytes) },
    {
      takeRoom: async (bytes) => await room.take(bytes),
      keep: async (file, content) => {
        kept.push({ text: readFileSync(file, 'utf8'), content });
        return await Promise.resolve({ ...draft, ...content, id: 1, createdAtMs: 0 } as Entry);
      },
      forget: () => (forgotten += 1),
    },
  );
});
afterEach(() => rmSync(directory, { recursive: true }));

const body = (text: string, sizeBytes = text.length): Body => ({
  stream: Readable.from([Buffer.from(text)]),
  sizeBytes,
});
const REFUSED = { reason: 'invalid_argument' };
const OVER = { reason: 'failed_precondition' };
const files = (): string[] => readdirSync(directory, { recursive: true, encoding: 'utf8' });

test('blocks in any order are the content in the order of the list', async () => {
  await Promise.all([
    upload.putBlock('b', body('world')),
    upload.putBlock('a', body('hello ')),
    upload.putBlock('not listed', body('nothing')),
  ]);
  await upload.putBlock('b', body('there'));
  assert.equal(held, 'hello there'.length + 'nothing'.length);
  await upload.commit(['a', 'b']);
  await upload.commit(['a', 'b']);
  await upload.keep();
  const sha256 = createHash('sha256').update('hello there').digest('hex');
  assert.deepEqual(kept, [{ text: 'hello there', content: { sizeBytes: 11, sha256 } }]);
  assert.deepEqual([held, forgotten, files()], [0, 1, []]);
  await upload.discard();
  assert.equal(forgotten, 1);
});

test('one body is the content; sent again, it replaces the first', async () => {
  await assert.rejects(upload.keep(), OVER);
  await upload.putWhole(body('first'));
  await upload.putWhole(body('second'));
  assert.equal(held, 'second'.length);
  await upload.keep();
  assert.deepEqual(
    kept.map((one) => one.text),
    ['second'],
  );
  await assert.rejects(upload.putBlock('a', body('late')), OVER);
});

test('a body that is longer or shorter than it says is refused and leaves nothing', async () => {
  await assert.rejects(upload.putBlock('a', body('hello', 4)), REFUSED);
  await assert.rejects(upload.putBlock('a', body('hello', 6)), REFUSED);
  await assert.rejects(upload.putWhole(body('hello', 4)), REFUSED);
  const endless = { reason: 'resource_exhausted' };
  await assert.rejects(upload.putBlock('a', body('x', ENTRY_BYTES + 1)), endless);
  assert.deepEqual([held, files()], [0, ['mine']]);
  await upload.putWhole(body('hello'));
  await upload.keep();
  assert.equal(kept[0]?.text, 'hello');
});

test('a list must name blocks that are there, each once', async () => {
  await upload.putBlock('a', body('x'));
  await assert.rejects(upload.commit(['a', 'b']), REFUSED);
  await assert.rejects(upload.commit(['a', 'a']), REFUSED);
  await assert.rejects(upload.commit(['__proto__']), REFUSED);
  await assert.rejects(upload.commit(Array.from({ length: UPLOAD_BLOCKS + 1 }, String)), REFUSED);
  await upload.commit(['a']);
});

test('blocks are counted, however small they are, and their ids are short', async () => {
  await assert.rejects(upload.putBlock('', body('')), REFUSED);
  await assert.rejects(upload.putBlock('x'.repeat(BLOCK_ID_CHARACTERS + 1), body('')), REFUSED);
  for (let at = 0; at < UPLOAD_BLOCKS; at += 100) {
    const some = Array.from({ length: 100 }, (_, one) => String(at + one));
    await Promise.all(some.map((id) => upload.putBlock(id, body(''))));
  }
  await assert.rejects(upload.putBlock('one more', body('')), { reason: 'resource_exhausted' });
  await upload.putBlock('7', body('replaced'));
});

test('an upload that is given up while bytes come leaves nothing', async () => {
  const stream = new PassThrough();
  stream.write('half');
  const putting = upload.putBlock('a', { stream, sizeBytes: 1000 });
  const failing = assert.rejects(putting, REFUSED);
  await upload.discard();
  await failing;
  assert.deepEqual([held, forgotten, files()], [0, 1, []]);
  await assert.rejects(upload.putBlock('b', body('x')), OVER);
  await assert.rejects(upload.keep(), OVER);
});

test('where the disk has no room an upload is refused, and can be tried again', async () => {
  const full = { reason: 'out_of_range' };
  freeBytes = 4;
  await assert.rejects(upload.putBlock('a', body('12345')), full);
  await upload.putBlock('a', body('1234'));
  freeBytes = 3;
  await assert.rejects(upload.commit(['a']), full);
  freeBytes = 4;
  await upload.putWhole(body('4321'));
  await upload.keep();
  assert.deepEqual([kept[0]?.text, held], ['4321', 0]);
});

test('a body that stands still is cut', async () => {
  const stream = new PassThrough();
  stream.write('half');
  const file = join(directory, 'slow');
  const receiving = receiveFile({ stream, sizeBytes: 1000 }, file, { idleMs: 20 });
  await assert.rejects(receiving, { reason: 'deadline_exceeded' });
  assert.ok(stream.destroyed);
  assert.deepEqual(files(), ['mine']);
});

test('a host that is slow to open the file does not cut the body, nor end with it', async () => {
  const stream = new PassThrough();
  stream.end('half');
  const receiving = receiveFile({ stream, sizeBytes: 4 }, join(directory, 'a'), { idleMs: 20 });
  const until = performance.now() + 60;
  while (performance.now() < until);
  await receiving;
  assert.deepEqual(files().toSorted(), ['a', 'mine']);
});
