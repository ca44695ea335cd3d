/** Control groups, with real ones of the version this host has; version 2 in cgroup-v2.long.test.ts. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { newSandboxId } from '@onejob/protocol';
import { checkLeaksAfterEach } from '../../tests/_leaks.ts';
import {
  cgroupOomKills,
  cgroupPaths,
  cgroupPrefix,
  createCgroup,
  findCgroups,
  isCgroupOf,
  parseCandidates,
  removeCgroup,
  type Cgroups,
} from './cgroup.ts';

const MiB = 1024 * 1024;
const found = await findCgroups();
const skip = 'version' in found ? false : found.whyNot;

checkLeaksAfterEach();

const V2_MOUNT = '30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate';
const v1Mount = (controllers: string, root = '/'): string =>
  `33 31 0:30 ${root} /sys/fs/cgroup/${controllers} rw - cgroup cgroup rw,${controllers}`;

describe('what a host offers', () => {
  test('version 2 alone is one directory for all controllers', () => {
    const path = '/sys/fs/cgroup';
    assert.deepEqual(parseCandidates(V2_MOUNT, '0::/user.slice'), [
      { version: 2, parents: { memory: path, cpu: path, pids: path } },
    ]);
  });

  test('version 1 groups lie below our own, joint and odd mount points included', () => {
    const mounts = [v1Mount('memory'), v1Mount('cpu,cpuacct'), v1Mount('pids')].join('\n');
    const odd = mounts.replace('/sys/fs/cgroup/pids', String.raw`/odd\040place`);
    const own = '4:memory:/a/b\n3:cpu,cpuacct:/\n2:pids:/c\n';
    assert.deepEqual(parseCandidates(odd, own), [
      {
        version: 1,
        parents: {
          memory: '/sys/fs/cgroup/memory/a/b',
          cpu: '/sys/fs/cgroup/cpu,cpuacct',
          pids: '/odd place/c',
        },
      },
    ]);
  });

  test('a container that sees only its own part of a hierarchy uses that part', () => {
    const mounts = [
      v1Mount('memory', '/docker/x'),
      v1Mount('cpu', '/docker/x'),
      v1Mount('pids', '/docker/x'),
    ].join('\n');
    const own = '4:memory:/docker/x\n3:cpu:/docker/x/deep\n2:pids:/elsewhere\n';
    assert.deepEqual(parseCandidates(mounts, own)[0]?.parents, {
      memory: '/sys/fs/cgroup/memory',
      cpu: '/sys/fs/cgroup/cpu/deep',
      pids: '/sys/fs/cgroup/pids',
    });
  });

  test('both versions are tried, version 2 first; a missing controller leaves version 1 out', () => {
    const v1 = [v1Mount('memory'), v1Mount('cpu'), v1Mount('pids')].join('\n');
    const own = '4:memory:/\n3:cpu:/\n2:pids:/\n0::/\n';
    const versions = (mounts: string): number[] =>
      parseCandidates(mounts, own).map(({ version }) => version);
    assert.deepEqual(versions(`${v1}\n${V2_MOUNT}`), [2, 1]);
    assert.deepEqual(versions(v1.replace('rw,pids', 'rw,misc')), []);
    assert.deepEqual(versions('22 1 254:1 / / rw - ext4 /dev/root rw'), []);
  });

  test('disks are shared out in version 1 where their hierarchy is there, too', () => {
    const mounts = ['memory', 'cpu', 'pids', 'blkio'].map((name) => v1Mount(name)).join('\n');
    const own = '5:blkio:/\n4:memory:/\n3:cpu:/\n2:pids:/\n';
    assert.equal(parseCandidates(mounts, own)[0]?.io, '/sys/fs/cgroup/blkio');
  });

  test('only the directory of the sandbox itself passes for its group', () => {
    const id = newSandboxId();
    assert.equal(isCgroupOf(id, `/sys/fs/cgroup/onejob-${id}`), true);
    for (const path of [
      `/sys/fs/cgroup/onejob-${newSandboxId()}`,
      '/sys/fs/cgroup',
      `/sys/x/../onejob-${id}`,
      `onejob-${id}`,
    ]) {
      assert.equal(isCgroupOf(id, path), false, path);
    }
  });
});

describe('a group of this host', { skip }, () => {
  const cgroups = found as Cgroups;
  const inGroup = async (
    limits: { cpus: number; memoryBytes: number },
    script: string,
  ): Promise<{ status: number | null; output: string; oomKills: number; paths: string[] }> => {
    const paths = cgroupPaths(cgroups, newSandboxId());
    try {
      await createCgroup(cgroups, paths, limits);
      const [command, ...args] = [...cgroupPrefix(paths), 'bash', '-c', script];
      const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] });
      let output = '';
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
      const [status] = (await once(child, 'close')) as [number | null];
      return { status, output, oomKills: cgroupOomKills(paths), paths };
    } finally {
      await removeCgroup(paths);
      assert.deepEqual(paths.filter(existsSync), []);
    }
  };

  test('a process that wants more memory than its group has is killed, and that is counted', async () => {
    const limits = { cpus: 1, memoryBytes: 64 * MiB };
    const greedy = await inGroup(limits, 'tail /dev/zero; echo "tail: $?"');
    assert.equal(greedy.output, 'tail: 137\n');
    assert.ok(greedy.oomKills >= 1);
    const modest = await inGroup(limits, 'head -c 1000000 /dev/zero | tail -c 1 | wc -c');
    assert.equal(modest.output.trim(), '1');
    assert.equal(modest.oomKills, 0);
  });

  test('a program never starts outside a group that is gone', async () => {
    const paths = cgroupPaths(cgroups, newSandboxId());
    const [command, ...args] = [...cgroupPrefix(paths), 'echo', 'outside'];
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    let output = '';
    child.stdout.setEncoding('utf8').on('data', (chunk: string) => (output += chunk));
    const [status] = (await once(child, 'close')) as [number | null];
    assert.deepEqual({ status, output }, { status: 125, output: '' });
  });

  test('arguments with spaces, and one that looks like our separator, reach the program', () => {
    const [, , script, ...args] = [...cgroupPrefix(['/a b']), 'prog', '--', 'x y'];
    assert.match(script, /exec "\$@"/);
    assert.deepEqual(args, ['sh', '/a b', '--', 'prog', '--', 'x y']);
  });

  test('removing a group kills who is in it, also those that hid, and may be done again', async () => {
    const paths = cgroupPaths(cgroups, newSandboxId());
    await createCgroup(cgroups, paths, { cpus: 1, memoryBytes: 64 * MiB });
    const hidden = 'setsid env -i /bin/sh -c "echo started; exec sleep 60" & exec sleep 60';
    const [command, ...args] = [...cgroupPrefix(paths), 'sh', '-c', hidden];
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'ignore'] });
    await once(child.stdout, 'data');
    const members = readFileSync(join(paths[0] ?? '', 'cgroup.procs'), 'utf8')
      .trim()
      .split('\n');
    assert.equal(members.length, 2);
    const closed = once(child, 'close'); // the hidden one holds its output open
    await removeCgroup(paths);
    await closed;
    await removeCgroup(paths);
    assert.deepEqual(paths.filter(existsSync), []);
  });
});
