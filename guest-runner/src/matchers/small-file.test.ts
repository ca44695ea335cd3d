import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { readSmallFile } from './small-file.ts';

test(
  'a small file is read, anything else is refused at once with its path',
  { timeout: 10_000 },
  () => {
    using folder = mkdtempDisposableSync(join(tmpdir(), 'onejob-small-'));
    const path = join(folder.path, 'file');
    writeFileSync(path, 'añb');
    assert.equal(readSmallFile(path, 4), 'añb');
    assert.throws(() => readSmallFile(path, 3), /file' is larger than 3 bytes\.$/);
    assert.throws(() => readSmallFile(`${path}2`, 3), /Could not find file '.*file2'\.$/);
    assert.throws(() => readSmallFile(`${path}/x`, 3), /Could not find file/);
    assert.throws(() => readSmallFile(folder.path, 3), /is not a file\.$/);
    assert.throws(() => readSmallFile('a\0b', 3), /Cannot open/);
    const pipe = join(folder.path, 'pipe');
    execFileSync('mkfifo', [pipe]);
    assert.throws(() => readSmallFile(pipe, 3), /is not a file\.$/);
    assert.equal(readSmallFile('/proc/self/pagemap', 3), '');
  },
);
