/** The handshake over a real socket, against guests that are slow, stale, silent or wrong. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkLeaksAfterEach } from '../../tests/_leaks.ts';
import { synchronise, warmUp } from './sync.ts';

const never = new AbortController().signal;
let host: Socket;
let guest: Socket;
/** What the guest has received, as text. */
let heard = '';

beforeEach(async () => {
  const directory = mkdtempSync(join(tmpdir(), 'onejob-sync-'));
  const server = createServer().listen(join(directory, 's'));
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  guest = connect(join(directory, 's'));
  [host] = await accepted;
  server.close();
  rmSync(directory, { recursive: true });
  heard = '';
  guest.on('data', (chunk: Buffer) => {
    heard += chunk.toString('latin1');
  });
  for (const socket of [host, guest]) socket.on('error', () => {});
});
afterEach(() => {
  host.destroy();
  guest.destroy();
});
checkLeaksAfterEach();

/** Gives the answer to every SYNC. */
function onSync(take: (line: string) => void): void {
  let rest = '';
  guest.on('data', (chunk: Buffer) => {
    rest += chunk.toString('latin1');
    const syncs = [...rest.matchAll(/\n\0SYNC (\S+)\n/g)];
    rest = rest.slice(-1) === '\n' ? '' : rest;
    for (const [, id = ''] of syncs) take(`\n\0SYNCACK ${id}\n`);
  });
}

/** Answers every SYNC after `delayMs`, as an honest guest does. */
function answer(delayMs: number, change = (line: string): string => line): void {
  onSync((line) => void setTimeout(() => guest.write(change(line)), delayMs).unref());
}

test('stale bytes of an earlier conversation are thrown away, what follows the answer is kept', async () => {
  guest.write(`PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n${'\0'.repeat(40_000)}\n\0SYNCACK older-7\n`);
  answer(0, (line) => `${line}PRI * of the new one`);
  await synchronise(host, 'nonce', never);
  host.resume();
  const [first] = (await once(host, 'data')) as [Buffer];
  assert.match(first.toString('latin1'), /^PRI \* of the new one/);
  while (!heard.endsWith('\n\0GO nonce\n')) await sleep(1);
  assert.equal(heard.split('GO ').length, 2);
});

test('answers byte by byte are understood', async () => {
  const writeSlowly = async (line: string): Promise<void> => {
    for (const byte of line) {
      guest.write(byte);
      await sleep(1);
    }
  };
  let written = Promise.resolve();
  onSync((line) => {
    written = written.then(async () => await writeSlowly(line));
  });
  await synchronise(host, 'nonce', never);
  await written;
});

test('a guest slower than the pause between two calls is waited for', async () => {
  answer(200);
  await synchronise(host, 'nonce', never);
  assert.ok(heard.split('SYNC nonce').length > 2, 'it was called more than once');
});

test('answers to another nonce, an older call, or torn ones do not count', async () => {
  const limit = new AbortController();
  guest.on('data', () => {
    guest.write(
      '\n\0SYNCACK other-1\n\n\0SYNCACK nonce-0\n\0SYNCACK nonce-9999\n\n\0SYNCACK nonce-',
    );
  });
  setTimeout(() => limit.abort(new Error('enough')), 300);
  await assert.rejects(synchronise(host, 'nonce', limit.signal), /enough/);
  assert.doesNotMatch(heard, /GO/);
  assert.equal(host.listenerCount('data'), 0);
});

test('a carrier that closes, or a guest that never answers, ends it in words', async () => {
  const closing = synchronise(host, 'nonce', never);
  guest.destroy();
  await assert.rejects(closing, { code: 'link_broken' });
  await assert.rejects(synchronise(host, 'n', AbortSignal.abort(new Error('late'))), /late/);
});

test('a guest that has warmed up is synchronised afterwards, and one that cannot is not waited for longer', async () => {
  const isAsked = async (): Promise<void> => {
    while (!heard.includes('\n\0WARM nonce\n')) await sleep(1);
  };
  void isAsked().then(() => guest.write('\n\0WARMED older\n\n\0WARMED nonce\n'));
  await warmUp(host, 'nonce', never);
  answer(0);
  host.resume();
  await synchronise(host, 'next', never);
  const tooLate = new AbortController();
  host.resume();
  const silent = warmUp(host, 'again', tooLate.signal);
  tooLate.abort(new Error('too late'));
  await assert.rejects(silent, /too late/);
});
