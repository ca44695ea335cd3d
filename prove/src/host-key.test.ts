import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { ProveError } from './errors.ts';
import { ensureHostKey } from './host-key.ts';
import { fingerprintOf } from './report.ts';

const base = mkdtempSync(join(tmpdir(), 'onejob-test-key-'));
after(() => rmSync(base, { recursive: true }));

test('the key is made once, for its owner only', async () => {
  const path = join(base, 'data', 'host-key.pem');
  const made = await ensureHostKey(path);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal(statSync(join(base, 'data')).mode & 0o777, 0o700);
  assert.equal(fingerprintOf(await ensureHostKey(path)), fingerprintOf(made));
});

test('a key that others may read, or that is none, is refused with what to do', async () => {
  const open = join(base, 'open.pem');
  await ensureHostKey(open);
  chmodSync(open, 0o644);
  const broken = join(base, 'broken.pem');
  writeFileSync(broken, 'no key\n', { mode: 0o600 });
  const refusals: [string, RegExp][] = [
    [open, /may be read by others.*chmod 600/],
    [broken, /cannot be used/],
  ];
  for (const [path, words] of refusals) {
    await assert.rejects(ensureHostKey(path), (error: ProveError) => {
      assert.equal(error.code, 'key_unusable');
      assert.match(error.message, words);
      return true;
    });
  }
});
