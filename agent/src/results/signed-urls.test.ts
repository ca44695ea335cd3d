import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SIGNED_URL_MS } from './limits.ts';
import { UrlSigner } from './signed-urls.ts';

const DENIED = { name: 'AgentError', reason: 'permission_denied' };

test('an address permits what it was signed for, until its time is over', () => {
  let nowMs = 5.5;
  const signer = new UrlSigner(() => nowMs);
  const url = new URL(signer.sign('http://127.0.0.1:80', 'download', 7));
  assert.deepEqual(signer.verify(url), { operation: 'download', id: 7 });
  nowMs += SIGNED_URL_MS;
  assert.deepEqual(signer.verify(url), { operation: 'download', id: 7 });
  nowMs += 2;
  assert.throws(() => signer.verify(url), DENIED);
});

test('another operation, entry, time or signer is not permitted', () => {
  const signer = new UrlSigner(() => 0);
  const signed = signer.sign('http://h', 'upload', 12);
  const forged = [
    signed.replace('upload/', 'download/'),
    signed.replace('upload/12', 'upload/1'),
    signed.replace('upload/12', 'upload/012'),
    signed.replace('upload/12', 'upload/12/../13'),
    signed.replace('upload/12', 'upload/%31%32'),
    signed.replace('expires=', 'expires=9'),
    signed.replace(/&sig=.*/, ''),
    signed.replace(/sig=../, 'sig=00'),
    signed.replace(/sig=.*/, 'sig='),
    `${signed}0`,
    new UrlSigner(() => 0).sign('http://h', 'upload', 12),
  ];
  for (const url of forged) assert.throws(() => signer.verify(new URL(url)), DENIED, url);
  // More parameters, as Azure's protocol adds them, change nothing.
  assert.equal(signer.verify(new URL(`${signed}&comp=block&blockid=YQ==`)).id, 12);
});
