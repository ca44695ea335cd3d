/** How QEMU is held on this host, seen from outside in /proc and in its control group. Needs root. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
  statSync,
} from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { bundleGuestRunner, ensureImage } from '@onejob/image';
import { createQemuDriver } from '../src/drivers/qemu/driver.ts';
import { cgroupPaths, findCgroups } from '../src/host/cgroup.ts';
import { SANDBOX_USERS } from '../src/host/sandbox-user.ts';
import { networkNames } from '../src/network/plan.ts';
import { DISK_RATE } from '../src/sandbox/disk-rate.ts';
import { findQemu, runScript, SandboxLab } from './_sandbox-lab.ts';

const MiB = 1024 * 1024;
const cacheDir = join(homedir(), '.cache', 'onejob');
const cacheDirectory = await mkdtemp(join(tmpdir(), 'onejob-confined-'));
after(async () => await rm(cacheDirectory, { recursive: true, force: true }));
const skip = process.getuid?.() === 0 ? false : 'a user and a control group take root';

const image = await ensureImage({ cacheDir });
const { path: guestRunnerPath } = await bundleGuestRunner({ cacheDir });
const cgroups = await findCgroups();
const shape = { cpus: 1, memoryBytes: 512 * MiB, diskBytes: 300 * MiB };

const userOf = (pid: number): number =>
  Number(/^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);

describe('a confined machine', { skip }, () => {
  test('is a user of its own, has no capability, and sees the files it needs and no others', async () => {
    await using lab = await SandboxLab.open(image, guestRunnerPath);
    const driver = createQemuDriver({ hostMarker: lab.hostMarker, cacheDirectory });
    const { note } = await driver.probe();
    assert.match(note, /; confined to its own user, namespaces, root directory/);
    const sandbox = await lab.newSandbox({ shape });
    const handle = await driver.provision(sandbox.request, sandbox.stack);
    assert.equal(handle.note, note, 'the job is told the same');
    assert.equal(handle.lacks, 'version' in cgroups ? undefined : note.split('; ').at(-1));
    const { pid } = await findQemu(lab.hostMarker);
    const uid = userOf(pid);
    assert.ok(uid >= SANDBOX_USERS.first && uid < SANDBOX_USERS.first + SANDBOX_USERS.count);
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    for (const line of [/^Groups:\s*$/m, /^NoNewPrivs:\s*1$/m, /^Seccomp:\s*2$/m]) {
      assert.match(status, line);
    }
    assert.equal(status.match(/^Cap\w+:\s*0+$/gm)?.length, 5, status);
    for (const kind of ['mnt', 'pid', 'ipc', 'uts', 'net']) {
      const of = (who: string): string => readlinkSync(`/proc/${who}/ns/${kind}`);
      assert.notEqual(of(String(pid)), of('self'), kind);
    }
    const root = `/proc/${pid}/root`;
    const below = (path: string): string[] => readdirSync(join(root, path)).toSorted();
    for (const [directory, names] of [
      ['dev', ['null', 'urandom', 'zero']],
      ['disk', ['blank', 'work']],
      ['image', ['initrd', 'kernel', 'root']],
      ['link', ['bulk', 'control', 'init']],
      ['old', []],
      ['proc', []],
      ['run', ['secret']],
      ['usr/bin', ['qemu-system-x86_64', 'setpriv']],
      ['usr/share', ['qemu', 'seabios'].filter((name) => existsSync(`/usr/share/${name}`))],
    ] as const) {
      assert.deepEqual(below(directory), names, directory);
    }
    const others = below('.').filter((name) => !/^lib(64)?$/.test(name));
    assert.deepEqual(others, ['dev', 'disk', 'image', 'link', 'old', 'proc', 'run', 'usr']);
    const writable = readdirSync(root, { recursive: true, encoding: 'utf8' }).filter((name) => {
      const file = lstatSync(join(root, name));
      return !file.isSymbolicLink() && (file.uid === uid || (file.mode & 0o002) !== 0);
    });
    const expected = ['dev/null', 'dev/urandom', 'dev/zero', 'disk/work'];
    const links = ['link/bulk', 'link/control', 'link/init'];
    assert.deepEqual(writable.toSorted(), [...expected, ...links].toSorted());
    await handle.kill();
    await lab.bury(sandbox);
  });

  test('is root without a jail where its operator allows that, and its job is told so', async () => {
    await using lab = await SandboxLab.open(image, guestRunnerPath);
    // What has worked once is remembered in this directory.
    const own = await mkdtemp(join(cacheDirectory, 'own-'));
    const driver = createQemuDriver({
      ...{ hostMarker: lab.hostMarker, cacheDirectory: own, settings: { unconfined: 'allow' } },
      users: { ...SANDBOX_USERS, count: 0 },
    });
    const sandbox = await lab.newSandbox({ shape });
    const handle = await driver.provision(sandbox.request, sandbox.stack);
    assert.equal(userOf((await findQemu(lab.hostMarker)).pid), 0);
    const missing = /^less than could be: no namespaces \(.+\), QEMU is root on this host/;
    assert.match(handle.lacks ?? '', missing);
    assert.ok(handle.note.endsWith(`; ${handle.lacks}`), handle.note);
    await handle.kill();
    await lab.bury(sandbox);
  });

  test('has a tap and no network beside it, where it has an interface', async () => {
    await using lab = await SandboxLab.open(image, guestRunnerPath);
    const driver = createQemuDriver({ hostMarker: lab.hostMarker, cacheDirectory });
    const sandbox = await lab.newSandbox({ shape });
    const { sandboxId } = sandbox.request;
    const { namespace } = networkNames(sandboxId);
    const ip = (...words: string[]): string => execFileSync('ip', words, { encoding: 'utf8' });
    await sandbox.stack.acquire({ kind: 'network_namespace', sandboxId }, () => {
      ip('netns', 'add', namespace);
      ip('-n', namespace, 'tuntap', 'add', 'dev', 'tap0', 'mode', 'tap', 'vnet_hdr');
    });
    const network = { namespacePath: `/run/netns/${namespace}`, device: 'tap0', hasIpv6: false };
    const handle = await driver.provision({ ...sandbox.request, network }, sandbox.stack);
    const { pid } = await findQemu(lab.hostMarker);
    assert.match(readFileSync(`/proc/${pid}/status`, 'utf8'), /^CapEff:\s*0+$/m);
    const interfaces = readFileSync(`/proc/${pid}/net/dev`, 'utf8').match(/^\s*[^\s|:]+(?=:)/gm);
    assert.deepEqual(
      interfaces?.map((name) => name.trim()),
      ['lo'],
    );
    const files = readdirSync(`/proc/${pid}/fd`).map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`));
    assert.equal(files.filter((name) => name === '/dev/net/tun').length, 1);
    await handle.kill();
    await lab.bury(sandbox);
    assert.ok(!existsSync(network.namespacePath));
  });

  test('shares no user with another that lives', async () => {
    const labs = [
      await SandboxLab.open(image, guestRunnerPath),
      await SandboxLab.open(image, guestRunnerPath),
    ];
    const users = new Set<number>();
    const living = await Promise.all(
      labs.map(async (lab) => {
        const driver = createQemuDriver({
          hostMarker: lab.hostMarker,
          cacheDirectory,
          users: { first: 1_999_999_990, count: 2 },
        });
        const sandbox = await lab.newSandbox({ shape });
        const handle = await driver.provision(sandbox.request, sandbox.stack);
        users.add(userOf((await findQemu(lab.hostMarker)).pid));
        return { lab, sandbox, handle };
      }),
    );
    assert.deepEqual(users, new Set([1_999_999_990, 1_999_999_991]));
    for (const { lab, sandbox, handle } of living) {
      await handle.kill();
      await sandbox.stack.bury();
      await lab[Symbol.asyncDispose]();
    }
  });

  test('a monitor that the host kills for want of memory is the platform failing, and says so', async (context) => {
    if ('whyNot' in cgroups) return context.skip(cgroups.whyNot);
    await using lab = await SandboxLab.open(image, guestRunnerPath);
    const driver = createQemuDriver({ hostMarker: lab.hostMarker, cacheDirectory });
    const sandbox = await lab.newSandbox({ shape });
    const handle = await driver.provision(sandbox.request, sandbox.stack);
    const { pid } = await findQemu(lab.hostMarker);
    const groups = cgroupPaths(cgroups, sandbox.sandboxId);
    const read = (name: string): number => {
      const path = groups.map((group) => join(group, name)).find((one) => existsSync(one)) ?? '';
      return Number(readFileSync(path, 'utf8').trim().split(' ')[0]);
    };
    const one = cgroups.version === 1;
    const memory = one ? 'memory.limit_in_bytes' : 'memory.max';
    // A disk that is in memory counts as memory.
    assert.ok(
      read(memory) > shape.memoryBytes && read(memory) < 2 * shape.memoryBytes + shape.diskBytes,
    );
    assert.equal(read('pids.max'), 141);
    checkDiskLimit(groups, sandbox.directory);
    assert.equal(read(one ? 'cpu.cfs_quota_us' : 'cpu.max'), 150_000);
    assert.equal(read(one ? 'cpu.shares' : 'cpu.weight'), one ? 1024 : 100);
    assert.match(
      readFileSync(`/proc/${pid}/cgroup`, 'utf8'),
      new RegExp(`onejob-${sandbox.sandboxId}`),
    );
    // As if QEMU's own memory had grown: the guest's does not fit beside it any more.
    const used = read(one ? 'memory.usage_in_bytes' : 'memory.current');
    for (const group of groups.filter((path) => existsSync(join(path, memory)))) {
      writeFileSync(join(group, memory), String(used + 32 * MiB));
    }
    const said = await runScript(handle, 'head -c 250M /dev/zero | tail > /dev/null; sleep 60');
    assert.equal(said.finished, undefined);
    const end = await handle.ended;
    assert.equal(end.cause, 'vmm_died');
    assert.match(
      end.detail,
      /SIGKILL, killed by the host's kernel: its control group had no memory/,
    );
    await handle.kill();
    await lab.bury(sandbox);
  });
});

/** Where this host's kernel limits groups on the disk below the directory. */
function checkDiskLimit(groups: readonly string[], directory: string): void {
  const files = ['io.max', 'blkio.throttle.write_bps_device'];
  const paths = groups.flatMap((group) => files.map((file) => join(group, file)));
  const path = paths.find((one) => existsSync(one));
  const isOnDisk = statSync(directory).dev >= 256; // smaller numbers are of no device
  if (path === undefined || !isOnDisk) return;
  const said = readFileSync(path, 'utf8');
  assert.match(said, new RegExp(`^\\d+:\\d+ .*\\b${DISK_RATE.bytesPerSecond}\\b`), path);
}
