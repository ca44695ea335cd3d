/** The driver contract on gVisor, and what only it promises. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { bundleGuestRunner, ensureImage } from '@onejob/image';
import type { SandboxId } from '@onejob/protocol';
import { cgroupPaths, findCgroups } from '../src/host/cgroup.ts';
import { createGvisorDriver } from '../src/drivers/gvisor/driver.ts';
import { listSandboxProcesses } from '../src/host/processes.ts';
import { readJournals } from '../src/sandbox/journal.ts';
import type { MachineImage, SandboxDriver } from '../src/sandbox/driver.ts';
import { findProgram } from '@onejob/testing/container-engine';
import { runScript, SandboxLab } from './_sandbox-lab.ts';
import { UNPROXIED } from './_unproxied.ts';
import { driverContract } from './driver-contract.ts';

const GONE_PATIENCE_MS = 10_000;
const runscPath = findProgram('runsc');
const whyNot =
  process.getuid?.() !== 0
    ? 'gVisor takes root here'
    : runscPath === undefined
      ? 'not installed: runsc (apt-get install runsc)'
      : undefined;

if (whyNot !== undefined) test('driver gvisor', { skip: whyNot }, () => {});
else await testDriver(runscPath ?? '');

async function testDriver(path: string): Promise<void> {
  const cacheDir = join(homedir(), '.cache', 'onejob');
  const image: MachineImage = await ensureImage({ cacheDir });
  const { path: guestRunnerPath } = await bundleGuestRunner({ cacheDir });
  const cacheDirectory = await mkdtemp(join(tmpdir(), 'onejob-gvisor-cache-'));
  after(async () => await rm(cacheDirectory, { recursive: true, force: true }));
  const createDriver = ({ hostMarker }: { hostMarker: string }) =>
    createGvisorDriver({ hostMarker, cacheDirectory, runscPath: path });

  driverContract({
    ...{ name: 'gvisor', createDriver, image, guestRunnerPath },
    ...{ ownKernel: false, auto: true, killRunner: 'from inside' },
    countsOwnTime: true,
  });

  describe('gvisor alone', () => {
    describeView({ image, guestRunnerPath, cacheDirectory }, createDriver);
    test('a program that knows no proxy asks the guard for names, and a job cannot change its network', async () => {
      await using lab = await SandboxLab.open(image, guestRunnerPath);
      const sandbox = await lab.newSandbox();
      const handle = await createDriver(lab).provision(sandbox.request, sandbox.stack);
      const script =
        'grep -E "^Cap(Eff|Bnd):" /proc/self/status; ip addr add 192.0.2.1/32 dev lo 2>&1';
      const { log, asked } = await runScript(handle, `${UNPROXIED}; ${script} || echo refused`);
      await handle.kill();
      await lab.bury(sandbox);
      assert.match(log, /^name (?:7|52|56)$/m);
      assert.match(log, /^RTNETLINK answers: Permission denied$/m);
      for (const line of ['address 7', 'unknown 6', 'own 7', 'IPv6 7', 'refused']) {
        assert.ok(log.includes(`\n${line}\n`), `${line}\n${log}`);
      }
      assert.match(log, /^it took [0-5] s$/m);
      assert.deepEqual([...asked].toSorted(), [
        ...['CONNECT forge.example:8443', 'GET forge.example', 'GET nowhere.test'],
      ]);
      // CAP_NET_ADMIN 12 and CAP_NET_RAW 13 (capabilities(7)) are for the set-up alone.
      const sets = [...log.matchAll(/^Cap(?:Eff|Bnd):\s+(\w+)$/gm)].map(([, set = '']) => set);
      assert.equal(sets.length, 2, log);
      for (const set of sets) assert.equal(Number.parseInt(set, 16) & 0x3000, 0, log);
    });
    describeControlGroup(image, guestRunnerPath, createDriver);
    test('a sandbox kernel that is killed from outside is the platform failing', async () => {
      await using lab = await SandboxLab.open(image, guestRunnerPath);
      const sandbox = await lab.newSandbox();
      const handle = await createDriver(lab).provision(sandbox.request, sandbox.stack);
      for (const { pid } of await listSandboxProcesses(lab.hostMarker)) {
        try {
          process.kill(pid, 'SIGKILL');
        } catch {
          // it went with another
        }
      }
      assert.equal((await handle.ended).cause, 'vmm_died', (await handle.ended).detail);
      await handle.kill();
      await lab.bury(sandbox);
    });

    describeDeath({ image, guestRunnerPath, cacheDirectory, runscPath: path });
    test('a missing image is refused before anything is acquired', async () => {
      await using lab = await SandboxLab.open(image, guestRunnerPath);
      const sandbox = await lab.newSandbox({ image: null });
      const provisioning = createDriver(lab).provision(sandbox.request, sandbox.stack);
      await assert.rejects(provisioning, { code: 'image_missing' });
      await lab.bury(sandbox);
    });
  });
}

function describeView(
  {
    image,
    guestRunnerPath,
    cacheDirectory,
  }: Record<'guestRunnerPath' | 'cacheDirectory', string> & {
    image: MachineImage;
  },
  createDriver: (lab: SandboxLab) => SandboxDriver,
): void {
  test("a job sees gVisor's kernel, its own memory, no network and nothing of the host", async () => {
    await using lab = await SandboxLab.open(image, guestRunnerPath);
    const sandbox = await lab.newSandbox();
    const devices = ['/dev/null', '/dev/zero', '/dev/urandom'];
    const before = devices.map(deviceOf);
    const handle = await createDriver(lab).provision(sandbox.request, sandbox.stack);
    const script = [
      'dmesg 2>/dev/null | head -3; uname -r',
      'echo "interfaces=$(ls /sys/class/net 2>/dev/null | xargs)"',
      'grep ^MemTotal: /proc/meminfo | tr -s " "',
      'touch /run/onejob/x 2>/dev/null && echo wrote-link',
      'touch /usr/x /work/x && echo own-files',
      `ls -d ${homedir()}/.cache 2>/dev/null && echo host-files`,
      'before=$SECONDS',
      'curl -sS --noproxy "*" --max-time 20 http://example.org/ || echo "name $?"',
      'curl -sS --noproxy "*" --max-time 20 http://93.184.215.14/ || echo "address $?"',
      'test $((SECONDS - before)) -lt 10 && echo at-once',
      'true',
    ].join('\n');
    const said = await runScript(handle, script);
    assert.equal(said.finished?.conclusion, 'success', said.log);
    const log = said.log.split('##[endgroup]\n').at(-1) ?? '';
    assert.match(log, /Starting gVisor/);
    const kibibytes = Math.floor(sandbox.request.shape.memoryBytes / 1024);
    assert.match(log, new RegExp(`^MemTotal: ${kibibytes} kB$`, 'm'));
    assert.match(log, /^own-files$/m);
    assert.match(log, /^interfaces=(lo)?$/m);
    for (const line of ['name 6', 'address 7', 'at-once'])
      assert.ok(log.includes(`\n${line}\n`), log);
    assert.doesNotMatch(log, /wrote-link|host-files/);
    const unpacked = join(cacheDirectory, 'unpacked', image.digest);
    assert.ok(existsSync(join(unpacked, 'usr')));
    assert.ok(!existsSync(join(unpacked, 'usr/x')), 'a job changed the image');
    assert.deepEqual(devices.map(deviceOf), before, 'a device of the host has another owner');
    await handle.kill();
    await lab.bury(sandbox);
  });
}

function describeControlGroup(
  image: MachineImage,
  guestRunnerPath: string,
  createDriver: (lab: SandboxLab) => SandboxDriver,
): void {
  test('all its processes are in its control group, which has the limits of its shape', async () => {
    await using lab = await SandboxLab.open(image, guestRunnerPath);
    const sandbox = await lab.newSandbox();
    const handle = await createDriver(lab).provision(sandbox.request, sandbox.stack);
    const found = await findCgroups();
    assert.ok('version' in found);
    const groups = cgroupPaths(found, sandbox.sandboxId);
    const pids = processesNaming(sandbox.sandboxId).map((line) => line.split(' ')[0]);
    assert.ok(pids.length >= 3, 'runsc, its gofer, its kernel');
    for (const group of groups) {
      const inGroup = readFileSync(join(group, 'cgroup.procs'), 'utf8').split('\n');
      assert.deepEqual(
        pids.filter((pid) => !inGroup.includes(pid ?? '')),
        [],
        group,
      );
    }
    const files = groups.flatMap((group) =>
      ['cpu.max', 'cpu.cfs_quota_us'].map((name) => join(group, name)).filter(existsSync),
    );
    const quota = files.map((file) => readFileSync(file, 'utf8').split(/\s/)[0]);
    assert.deepEqual(quota, ['100000'], 'one processor, in parts of 100 ms');
    await handle.kill();
    await lab.bury(sandbox);
  });
}

function describeDeath(request: {
  image: MachineImage;
  guestRunnerPath: string;
  cacheDirectory: string;
  runscPath: string;
}): void {
  test('every process of it dies with its agent, however that dies', async () => {
    await using lab = await SandboxLab.open(request.image, request.guestRunnerPath);
    const words = [join(import.meta.dirname, '_provisioning-agent.ts'), lab.hostMarker, lab.root];
    const agent = spawn(process.execPath, [...words, JSON.stringify(request)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const exited = once(agent, 'exit').then(() => [Buffer.from('it ended')]);
    const [said] = (await Promise.race([once(agent.stdout, 'data'), exited])) as [Buffer];
    const [, sandboxId = ''] = /^provisioned (sb\w+)/.exec(said.toString()) ?? [];
    assert.ok(processesNaming(sandboxId).length >= 3, 'runsc, its gofer, its kernel');
    agent.kill('SIGKILL');
    await exited;
    const deadline = performance.now() + GONE_PATIENCE_MS;
    while (processesNaming(sandboxId).length > 0) {
      assert.ok(performance.now() < deadline, processesNaming(sandboxId).join('\n'));
      await sleep(20);
    }
    await lab.undo({ kind: 'process', role: 'any', sandboxId: sandboxId as SandboxId });
    for (const line of readJournals(join(lab.root, 'journal')).flatMap(({ lines }) => lines)) {
      if (line.entry === 'acquire') await lab.undo(line.acquisition);
    }
  });
}

function deviceOf(path: string): string {
  const { uid, gid, mode, rdev, ctimeMs } = statSync(path);
  return `${path}: ${[uid, gid, mode, rdev, ctimeMs].join(' ')}`;
}

/** Command lines of this host's processes with a text in them. */
function processesNaming(text: string): string[] {
  return readdirSync('/proc').flatMap((pid) => {
    if (!/^\d+$/.test(pid)) return [];
    try {
      const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ');
      return words.includes(text) ? [`${pid} ${words}`] : [];
    } catch {
      return []; // ended meanwhile
    }
  });
}
