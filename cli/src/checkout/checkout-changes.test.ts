import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, renameSync, rmSync, utimesSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ScratchRepository } from './_repository.ts';
import { CheckoutChanges } from './checkout-changes.ts';

/** Longer than a change takes to be told. */
const TOLD_MS = 1_500;
const NEVER = new AbortController().signal;

const repository = new ScratchRepository();
after(() => repository[Symbol.dispose]());
const { directory } = repository;
const write = (path: string, content: string): void => repository.write(path, content);
write('.gitignore', 'ignored/\n*.log\n');
write('kept.txt', 'one');
write('ignored/but-tracked.txt', 'one');
repository.git('add', '--all', '--force');
repository.git('commit', '--quiet', '--message=first');
mkdirSync(join(directory, 'empty', 'inner'), { recursive: true });

const watching = async (): Promise<CheckoutChanges> => {
  const changes = await CheckoutChanges.of(directory);
  await changes.mark();
  return changes;
};

test('what changes, comes, goes and moves is told by name, several at once', async () => {
  await using changes = await watching();
  write('kept.txt', 'two');
  write('new dir/with\nbreak.txt', 'x');
  assert.deepEqual(await changes.next(NEVER), ['kept.txt', 'new dir/with\nbreak.txt']);
  write('new dir/further/down.txt', 'x');
  assert.deepEqual(await changes.next(NEVER), ['new dir/further/down.txt']);
  write('new dir/further/down.txt', 'y');
  assert.deepEqual(await changes.next(NEVER), ['new dir/further/down.txt']);
  renameSync(join(directory, 'new dir'), join(directory, 'moved'));
  const moved = await changes.next(NEVER);
  assert.equal(moved?.length, 4);
  rmSync(join(directory, 'moved'), { recursive: true });
  assert.deepEqual(await changes.next(NEVER), ['moved/further/down.txt', 'moved/with\nbreak.txt']);
});

test('a directory that was empty is watched, and a tracked file in an ignored one', async () => {
  await using changes = await watching();
  write('empty/inner/first.txt', 'x');
  assert.deepEqual(await changes.next(NEVER), ['empty/inner/first.txt']);
  write('ignored/but-tracked.txt', 'two');
  assert.deepEqual(await changes.next(NEVER), ['ignored/but-tracked.txt']);
});

test('ignored, touched and restored files are no change', async () => {
  await using changes = await watching();
  write('ignored/other.txt', 'x');
  write('some.log', 'x');
  utimesSync(join(directory, 'kept.txt'), new Date(), new Date());
  write('kept.txt', 'three');
  write('kept.txt', 'two');
  const signal = AbortSignal.timeout(TOLD_MS);
  assert.equal(await changes.next(signal), undefined);
  write('.gitignore', '*.log\n');
  assert.deepEqual(await changes.next(NEVER), ['.gitignore', 'ignored/other.txt']);
});

test('what happened before somebody waits is told, and what was marked is not', async () => {
  await using changes = await watching();
  write('kept.txt', 'four');
  await sleep(TOLD_MS);
  assert.deepEqual(await changes.next(NEVER), ['kept.txt']);
  write('kept.txt', 'five');
  await changes.mark();
  assert.equal(await changes.next(AbortSignal.timeout(TOLD_MS)), undefined);
});

test('the checkout is not written to, and nothing is left in the temporary directory', async () => {
  const scratches = (): string[] =>
    readdirSync(tmpdir()).filter((name) => name.startsWith('onejob-watch-'));
  const before = scratches();
  const index = repository.git('ls-files', '--stage');
  {
    await using changes = await watching();
    write('kept.txt', 'six');
    await changes.next(NEVER);
  }
  assert.deepEqual(
    scratches().filter((name) => !before.includes(name)),
    [],
  );
  assert.equal(repository.git('ls-files', '--stage'), index);
});
