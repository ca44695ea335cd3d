import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'node:test';
import { makeGroups, parseHierarchies } from './groups.ts';

const MOUNTS = `
30 20 0:27 / /sys/fs/cgroup rw - tmpfs tmpfs rw
31 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 30 0:29 /docker/1 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
33 30 0:30 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer
34 30 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw`;

test('a group is made in each hierarchy that holds a sandbox, below the own one', () => {
  const own = '4:cpu,cpuacct:/a/b\n3:memory:/docker/1/c\n2:freezer:/\n0::/user/x\n';
  assert.deepEqual(parseHierarchies(MOUNTS, own), [
    { controllers: 'cpu,cpuacct', parent: '/sys/fs/cgroup/cpu,cpuacct/a/b' },
    { controllers: 'memory', parent: '/sys/fs/cgroup/memory/c' },
    { controllers: 'freezer', parent: '/sys/fs/cgroup/freezer' },
    { controllers: 'unified', parent: '/sys/fs/cgroup/unified' },
  ]);
});

test('a hierarchy that is not mounted, or of another name, has none', () => {
  assert.deepEqual(parseHierarchies(MOUNTS, '5:pids:/\n1:name=systemd:/\n'), []);
  assert.deepEqual(parseHierarchies('', '0::/\n'), []);
});

test('groups go with all that was made in them', async (t) => {
  const mark = `test-${process.pid}`;
  const groups = await makeGroups(mark);
  const { paths } = groups;
  for (const path of paths) await mkdir(join(path, 'inner'));
  await groups[Symbol.asyncDispose]();
  if (paths.length === 0) return t.skip('this host gives us no control groups');
  assert.deepEqual(paths.filter(existsSync), []);
});

test('what a killed proof left goes with the next one; what is in use or young stays', async (t) => {
  const first = await makeGroups(`test-${process.pid}-old`);
  t.after(async () => await first[Symbol.asyncDispose]());
  const [used, ...others] = first.paths;
  const [old, young] = [others[0], others[1]];
  if (used === undefined || old === undefined || young === undefined) {
    return t.skip('this host gives us too few control groups');
  }
  const sleeper = spawn('sleep', ['600'], { stdio: 'ignore' });
  t.after(() => sleeper.kill('SIGKILL'));
  await writeFile(join(used, 'cgroup.procs'), String(sleeper.pid));
  const hourAgo = new Date(Date.now() - 3_600_000);
  for (const path of [used, old]) await utimes(path, hourAgo, hourAgo);
  await using _second = await makeGroups(`test-${process.pid}-new`);
  assert.deepEqual([used, old, young].map(existsSync), [true, false, true]);
  const gone = once(sleeper, 'exit');
  sleeper.kill('SIGKILL');
  await gone;
});
