import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { groupLimits, groupsApart } from './group-limits.ts';
import { lookAt } from './monitor.ts';
import { makeGroups, parseGroupMounts } from './scene/groups.ts';

const MOUNTS = parseGroupMounts(`
31 30 0:28 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
32 30 0:29 /docker/1 /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
34 30 0:31 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw`);

test('groups that only the other process is in hold it, up to those of both', () => {
  const directories = (groups: string, ofLooker: string): string[] =>
    groupsApart(MOUNTS, groups, ofLooker).flatMap((one) => one.directories);
  const cpu = '/sys/fs/cgroup/cpu,cpuacct';
  assert.deepEqual(directories('4:cpu,cpuacct:/a/b/c\n', '4:cpu,cpuacct:/a\n'), [
    `${cpu}/a/b/c`,
    `${cpu}/a/b`,
  ]);
  assert.deepEqual(directories('4:cpu,cpuacct:/a\n', '4:cpu,cpuacct:/ab\n'), [`${cpu}/a`]);
  assert.deepEqual(directories('4:cpu,cpuacct:/a\n', '4:cpu,cpuacct:/a/b\n'), []);
  assert.deepEqual(directories('3:memory:/docker/1/x\n', '3:memory:/docker/1\n'), [
    '/sys/fs/cgroup/memory/x',
  ]);
  assert.deepEqual(directories('0::/proof/x\n', '0::/proof\n'), ['/sys/fs/cgroup/unified/proof/x']);
  for (const none of ['0::/\n', '0::/../x\n', '5:pids:/x\n', '']) {
    assert.deepEqual(directories(none, '0::/\n'), [], none);
  }
});

test('a group of its own is no limit by itself: memory, processors and processes each have one', async (t) => {
  await using groups = await makeGroups(`limits-${process.pid}`).catch(() => undefined);
  if (groups === undefined || groups.paths.length === 0) return t.skip('no control groups here');
  const enter = 'for group; do echo $$ > "$group/cgroup.procs"; done; echo here; exec sleep 600';
  const child = spawn('sh', ['-e', '-c', enter, 'sh', ...groups.paths], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    await once(child.stdout, 'data');
    const { pid = 0 } = child;
    const verdict = () => {
      const values = new Map<string, string>();
      return lookAt('limits', { pid, sandboxId: 'sb', dataDirectory: '/nowhere', values });
    };
    const free = verdict();
    assert.equal(free.outcome, 'through');
    assert.match('seen' in free ? free.seen : '', /no limit of memory, cpu, pids/);
    const set = (file: string, value: string): void => {
      for (const path of groups.paths.map((group) => join(group, file)))
        if (existsSync(path)) writeFileSync(path, value);
    };
    for (const file of ['memory.max', 'memory.limit_in_bytes']) set(file, String(64 * 1024 * 1024));
    set('cpu.max', '150000 100000');
    set('cpu.cfs_quota_us', '150000');
    assert.equal(verdict().outcome, 'through', 'processes are without limit');
    set('pids.max', '77');
    assert.deepEqual(
      groupLimits(pid),
      new Map([
        ['memory', 64 * 1024 * 1024],
        ['cpu', 150_000],
        ['pids', 77],
      ]),
    );
    assert.equal(verdict().outcome, 'stopped');
  } finally {
    child.kill('SIGKILL');
    await once(child, 'exit');
  }
});
