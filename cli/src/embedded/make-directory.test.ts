import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import type { CliError } from '../errors.ts';
import { makeDirectory } from './make-directory.ts';

const base = mkdtempSync(join(tmpdir(), 'onejob-test-directory-'));
after(() => rmSync(base, { recursive: true }));

test('a directory is made with those above it, for its owner only, and again is no error', async () => {
  const path = join(base, 'a', 'b', 'c');
  await Promise.all([makeDirectory(path, ''), makeDirectory(path, '')]);
  await makeDirectory(path, '');
  assert.equal(statSync(path).mode & 0o777, 0o700);
});

test('what cannot be made is refused with the reason, where Node alone would try for ever too', async () => {
  const file = join(base, 'file');
  writeFileSync(file, '');
  const wrong: [string, RegExp][] = [
    [
      '/proc/onejob-nowhere/data',
      /^\/proc\/onejob-nowhere\/data cannot be made: at \/proc\/onejob-nowhere, .*takes no new/,
    ],
    [file, /that is a file, not a directory\. Choose another/],
    [join(file, 'below'), /below cannot be made: at .*file, that is a file/],
    [join(base, 'x'.repeat(300)), /too long a name/],
  ];
  for (const [path, words] of wrong) {
    await assert.rejects(makeDirectory(path, 'Choose another.'), (error: CliError) => {
      assert.equal(error.code, 'directory_unusable');
      assert.equal(error.exitCode, 4);
      assert.match(error.message, words);
      return true;
    });
  }
});
