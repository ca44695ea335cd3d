import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import { readLoopDevices, readSystemVIpc, readUsers } from './kernel.mjs';

test('shared memory of a living process of others is theirs, all else counts', () => {
  /** @type {Record<string, string[]>} */
  const lines = {
    msg: ['       key      msqid perms', '         5          1   600'],
    sem: ['       key      semid perms'],
    shm: [
      '       key      shmid perms                  size  cpid  lpid nattch',
      '         7          3  1600                    56   100   100      6',
      '         8          4  1600                    56   200   200      0',
    ],
  };
  assert.deepEqual(
    readSystemVIpc(new Set([100]), (kind) => lines[kind] ?? []),
    ['System V msg key 5 id 1', 'System V shm key 8 id 4'],
  );
});

test('a message queue that a process leaves is seen', () => {
  const before = new Set(readSystemVIpc(new Set()));
  const id = /\d+\s*$/.exec(execFileSync('ipcmk', ['-Q'], { encoding: 'utf8' }))?.[0].trim() ?? '';
  try {
    const added = readSystemVIpc(new Set()).filter((name) => !before.has(name));
    assert.ok(
      added.some((name) => name.endsWith(` id ${id}`)),
      `${id}: ${added.join(', ')}`,
    );
  } finally {
    execFileSync('ipcrm', ['-q', id]);
  }
});

test('users and groups are named with their numbers, loop devices with their file', () => {
  assert.ok(readUsers().some((name) => name.startsWith('user root:x:0:')));
  assert.ok(readUsers().includes('group root:x:0:'));
  for (const name of readLoopDevices(() => false)) assert.match(name, /^loop\d+ of \//);
  assert.deepEqual(
    readLoopDevices(() => true),
    [],
  );
});
