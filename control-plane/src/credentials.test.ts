import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { hashCredential, matchesHash, mintCredential, Vault } from './credentials.ts';

test('a sealed secret opens for its run and name only, and with its key only', () => {
  const vault = new Vault(randomBytes(32));
  const sealed = vault.seal('sesame ünï', { runId: 'r1', name: 'KEY' });
  assert.equal(vault.open(sealed, { runId: 'r1', name: 'KEY' }), 'sesame ünï');
  assert.ok(!Buffer.from(sealed, 'base64').includes('sesame'));
  assert.notEqual(vault.seal('sesame ünï', { runId: 'r1', name: 'KEY' }), sealed);
  assert.throws(() => vault.open(sealed, { runId: 'r2', name: 'KEY' }));
  assert.throws(() => vault.open(sealed, { runId: 'r1', name: 'OTHER' }));
  const other = new Vault(randomBytes(32));
  assert.throws(() => other.open(sealed, { runId: 'r1', name: 'KEY' }));
  const bytes = Buffer.from(sealed, 'base64');
  bytes[bytes.length - 1]! ^= 1;
  assert.throws(() => vault.open(bytes.toString('base64'), { runId: 'r1', name: 'KEY' }));
});

test('a credential matches its own hash and nothing else', () => {
  const credential = mintCredential();
  const hash = hashCredential(credential);
  assert.ok(matchesHash(credential, hash));
  assert.ok(!matchesHash(mintCredential(), hash));
  assert.ok(!matchesHash('', hash));
  assert.ok(!matchesHash(credential, null));
  assert.ok(!hash.includes(credential));
});
