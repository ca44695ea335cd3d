import assert from 'node:assert/strict';
import { closeSync, openSync, readdirSync, readSync, writeSync } from 'node:fs';
import { mkdtemp, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { findTool, runTool } from './short-tool.ts';
import { SealedMemory } from './sealed-memory.ts';

const never = new AbortController().signal;
const descriptors = (): number => readdirSync('/proc/self/fd').length;

test('what is sealed is read by all who have it open, and written, cut or grown by nobody', async () => {
  using memory = await SealedMemory.create();
  writeSync(memory.descriptor, 'before', 0);
  await memory.seal();
  const other = memory.open() ?? -1;
  const read = Buffer.alloc(6);
  readSync(other, read, 0, 6, 0);
  assert.equal(read.toString(), 'before');
  for (const descriptor of [memory.descriptor, other]) {
    assert.throws(() => writeSync(descriptor, 'after', 0), { code: 'EPERM' });
    assert.throws(() => writeSync(descriptor, 'x', 6), { code: 'EPERM' });
  }
  await assert.rejects(truncate(`/proc/self/fd/${other}`, 0), { code: 'EPERM' });
  closeSync(other);
});

test('nobody maps it for writing what others see, and a private copy is one’s own', async (context) => {
  const python = await findTool('python3');
  if (python === undefined) return context.skip('needs python3 to map memory');
  using memory = await SealedMemory.create();
  writeSync(memory.descriptor, 'before', 0);
  await memory.seal();
  const script = `
import mmap, sys
file = open(sys.argv[1], "r+b")
try:
    mmap.mmap(file.fileno(), 6, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
    print("shared")
except PermissionError:
    print("refused")
own = mmap.mmap(file.fileno(), 6, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE)
own[0:6] = b"mine!!"
print(own[0:6].decode())`;
  const path = `/proc/${process.pid}/fd/${memory.descriptor}`;
  const result = await runTool(python, ['-c', script, path], { timeoutMs: 30_000 });
  assert.equal(result.standardOutput, 'refused\nmine!!\n', result.standardError);
  assert.equal((await readFile(path)).toString(), 'before');
});

test('holes are copied as holes, both ways, and nothing stays open', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'onejob-memory-'));
  const before = descriptors();
  try {
    const [from, to] = [join(directory, 'from'), join(directory, 'to')];
    await writeFile(from, 'start');
    await truncate(from, 64 * 1024 * 1024);
    {
      using memory = await SealedMemory.create();
      await memory.copyFrom(from, never);
      await memory.copyTo(to, never);
    }
    const copy = await stat(to);
    assert.equal(copy.size, 64 * 1024 * 1024);
    assert.ok(copy.blocks * 512 < 1024 * 1024, `${copy.blocks} blocks`);
    const start = Buffer.alloc(6);
    const file = openSync(to, 'r');
    readSync(file, start, 0, 6, 0);
    closeSync(file);
    assert.equal(start.toString(), 'start\0');
  } finally {
    await rm(directory, { recursive: true });
  }
  assert.equal(descriptors(), before);
});

test('a memory that is gone is not opened again', async () => {
  const memory = await SealedMemory.create();
  memory[Symbol.dispose]();
  memory[Symbol.dispose]();
  assert.equal(memory.open(), undefined);
});
