import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempDisposable, readFile, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { directoryEntry, fileEntry, writeCpio } from './cpio.ts';

test('cpio unpacks what was written, with modes and contents of any length', async () => {
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-cpio-'));
  const sizes = [0, 1, 2, 3, 4, 5, 4097];
  const entries = [directoryEntry('d'), fileEntry('d/program', Buffer.from('#!'), 'program')];
  for (const size of sizes) {
    entries.push(fileEntry(`d/${'n'.repeat(size % 7)}${size}`, Buffer.alloc(size, 0x41), 'data'));
  }
  const command = ['--extract', '--quiet', '--format=newc', '--no-absolute-filenames'];
  execFileSync('cpio', command, { cwd: scratch.path, input: writeCpio(entries) });
  for (const size of sizes) {
    const name = join(scratch.path, `d/${'n'.repeat(size % 7)}${size}`);
    assert.deepEqual(await readFile(name), Buffer.alloc(size, 0x41));
    assert.equal((await stat(name)).mode & 0o777, 0o644);
  }
  assert.equal((await stat(join(scratch.path, 'd/program'))).mode & 0o777, 0o755);
  assert.equal((await stat(join(scratch.path, 'd'))).mode & 0o777, 0o755);
});
