/** The driver contract on the firecracker driver with a stand-in, and what only this driver promises. */
import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { SANDBOX_USERS } from '../src/host/sandbox-user.ts';
import { reap } from '../src/sandbox/reaper.ts';
import { FirecrackerLab, REQUESTS, whyNoJail } from './_firecracker-lab.ts';
import { runScript, SandboxLab } from './_sandbox-lab.ts';
import { driverContract } from './driver-contract.ts';

/** A killed process is gone at once, unless its host is under heavy load. */
const GONE_PATIENCE_MS = 10_000;
const STAND_IN_NOTE = 'a stand-in runs its guest as a process of this host';

if (whyNoJail !== undefined) test('driver firecracker', { skip: whyNoJail }, () => {});
else await describeDriver();

async function describeDriver(): Promise<void> {
  const place = await FirecrackerLab.open();
  after(() => place.close());
  const { image, guestRunnerPath } = place;

  driverContract({
    ...{ name: 'firecracker', image, guestRunnerPath },
    createDriver: ({ hostMarker }) => place.driver(hostMarker, { hostMarker }),
    ...{ ownKernel: true, auto: false, killRunner: 'from outside' },
    ...{ countsOwnTime: true, noMachine: STAND_IN_NOTE },
  });

  describe('firecracker alone', () => {
    describeMachine(place);
    describeEnds(place);
    describeNetwork(place);
    describeDeath(place);
  });
}

function describeMachine(place: FirecrackerLab): void {
  const newLab = async (): Promise<SandboxLab> =>
    await SandboxLab.open(place.image, place.guestRunnerPath);

  test('the machine is described in one order, and nothing is asked of it afterwards', async () => {
    await using lab = await newLab();
    const recordPath = place.recordPath();
    const driver = place.driver(lab.hostMarker, { recordPath });
    const { snapshot, freeze, needsRoot } = await driver.probe();
    assert.deepEqual(
      { snapshot, freeze, needsRoot },
      { snapshot: false, freeze: false, needsRoot: true },
    );
    const sandbox = await lab.newSandbox();
    const handle = await driver.provision(sandbox.request, sandbox.stack);
    assert.equal((await runScript(handle, 'true')).finished?.conclusion, 'success');
    await handle.kill();
    await lab.bury(sandbox);
    const asked = place.asked(recordPath);
    assert.deepEqual(
      asked.filter((what) => what !== 'GET /'),
      REQUESTS,
    );
  });

  test('it is started by its jailer, as a user of its own, in namespaces and a group of its own', async () => {
    await using lab = await newLab();
    const recordPath = place.recordPath();
    const driver = place.driver(lab.hostMarker, { recordPath });
    const sandbox = await lab.newSandbox();
    const handle = await driver.provision(sandbox.request, sandbox.stack);
    const [pid = 0] = findByArgument(`--id=${sandbox.sandboxId}`);
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    const [, real = '', effective = ''] = /^Uid:\s+(\d+)\s+(\d+)/m.exec(status) ?? [];
    // The stand-in keeps root's number in reserve for its guest; Firecracker has none.
    assert.equal(real, '0');
    assert.ok(Number(effective) >= SANDBOX_USERS.first, status);
    const environment = readFileSync(`/proc/${pid}/environ`, 'utf8');
    assert.doesNotMatch(environment, /ONEJOB_/);
    assert.match(readFileSync(`/proc/${pid}/cgroup`, 'utf8'), new RegExp(sandbox.sandboxId));
    const devices = readFileSync(`/proc/${pid}/net/dev`, 'utf8');
    assert.deepEqual(
      devices.match(/^\s*\w+(?=:)/gm)?.map((name) => name.trim()),
      ['lo'],
    );
    const mounts = readFileSync(`/proc/${pid}/mountinfo`, 'utf8');
    for (const name of ['kernel', 'initrd', 'root.disk']) {
      assert.match(mounts, new RegExp(`/root/${name} ro,nosuid,nodev,noexec`));
    }
    assert.match(mounts, /\/root\/work\.disk rw,nosuid,nodev,noexec/);
    assert.doesNotMatch(
      readFileSync('/proc/self/mountinfo', 'utf8'),
      new RegExp(sandbox.sandboxId),
    );
    await handle.kill();
    await lab.bury(sandbox);
  });
}

function describeEnds(place: FirecrackerLab): void {
  const newLab = async (): Promise<SandboxLab> =>
    await SandboxLab.open(place.image, place.guestRunnerPath);

  test('a monitor killed from outside is the platform failing', async () => {
    await using lab = await newLab();
    const driver = place.driver(lab.hostMarker);
    const sandbox = await lab.newSandbox();
    const handle = await driver.provision(sandbox.request, sandbox.stack);
    for (const pid of findByArgument(`--id=${sandbox.sandboxId}`)) process.kill(pid, 'SIGKILL');
    const { cause, detail } = await handle.ended;
    assert.equal(cause, 'vmm_died');
    assert.match(detail, /^Firecracker ended with signal 9/);
    await handle.kill();
    await lab.bury(sandbox);
  });

  test('an image without vsock is refused by the module that it lacks, before anything is made', async () => {
    await using lab = await newLab();
    const driver = place.driver(lab.hostMarker);
    const sandbox = await lab.newSandbox({ image: place.makeImage(['modules/virtio_blk.ko']) });
    await assert.rejects(driver.provision(sandbox.request, sandbox.stack), {
      code: 'image_missing',
      message: /lacks modules\/vmw_vsock_virtio_transport\.ko.*docs\/drivers\.md/,
    });
    assert.equal(sandbox.stack.depth, 0);
    await lab.bury(sandbox);
  });
}

function describeNetwork(place: FirecrackerLab): void {
  test('in mode nat it is in the network namespace of its sandbox, with a card on the tap there', async (context) => {
    const [namespace, tap] = [`onejob-test-fc-${process.pid}`, 'tap0'];
    const made = spawnSync('ip', ['netns', 'add', namespace]);
    if (made.status !== 0) return context.skip('this host makes no network namespaces for us');
    context.after(() => execFileSync('ip', ['netns', 'delete', namespace]));
    execFileSync('ip', ['-n', namespace, 'tuntap', 'add', tap, 'mode', 'tap']);
    await using lab = await SandboxLab.open(place.image, place.guestRunnerPath);
    const recordPath = place.recordPath();
    const driver = place.driver(lab.hostMarker, { recordPath });
    const network = { namespacePath: `/run/netns/${namespace}`, device: tap, hasIpv6: false };
    const sandbox = await lab.newSandbox({ network });
    const handle = await driver.provision(sandbox.request, sandbox.stack);
    const [pid = 0] = findByArgument(`--id=${sandbox.sandboxId}`);
    assert.match(readFileSync(`/proc/${pid}/net/dev`, 'utf8'), /^\s*tap0:/m);
    await handle.kill();
    await lab.bury(sandbox);
    const asked = readFileSync(recordPath, 'utf8');
    assert.match(asked, /^PUT \/network-interfaces\/network .*"host_dev_name":"tap0"/m);
    assert.match(asked, /^PUT \/boot-source .* -- nat4"/m);
  });
}

function describeDeath(place: FirecrackerLab): void {
  test('every process of it dies with its agent, and the reaper takes the rest', async (t) => {
    await using lab = await SandboxLab.open(place.image, place.guestRunnerPath);
    const words = [join(import.meta.dirname, '_provisioning-agent.ts'), lab.hostMarker, lab.root];
    const { image, guestRunnerPath, directory } = place;
    const request = { image, guestRunnerPath, cacheDirectory: directory };
    const firecracker = place.programs();
    const agent = spawn(process.execPath, [...words, JSON.stringify({ ...request, firecracker })], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    t.after(() => agent.kill('SIGKILL'));
    const exited = once(agent, 'exit').then(() => [Buffer.from('it ended')]);
    const [said] = (await Promise.race([once(agent.stdout, 'data'), exited])) as [Buffer];
    const [, sandboxId = ''] = /^provisioned (sb\w+)/.exec(said.toString()) ?? [];
    const processes = () => [...findByArgument(`--id=${sandboxId}`), ...findByPlace(lab.root)];
    assert.ok(processes().length >= 2, 'the monitor and its guest');
    // A guest that runs would end by itself, since its link does.
    for (const pid of processes()) process.kill(pid, 'SIGSTOP');
    agent.kill('SIGKILL');
    await exited;
    const deadline = performance.now() + GONE_PATIENCE_MS;
    while (processes().length > 0) {
      assert.ok(performance.now() < deadline, processes().join());
      await sleep(20);
    }
    const reapAll = async () =>
      await reap({
        ...{ hostMarker: lab.hostMarker, undo: lab.undo, alive: new Set<string>() },
        ...{ sandboxesDirectory: lab.root, journalsDirectory: join(lab.root, 'journal') },
      });
    const report = await reapAll();
    assert.deepEqual(report.failed, []);
    const kinds = new Set(report.entries.map(({ kind }) => kind));
    for (const kind of ['user', 'cgroup', 'directory']) assert.ok(kinds.has(kind), kind);
    report.closeJournals();
    assert.deepEqual((await reapAll()).entries, []);
  });
}

/** Processes that stand in this directory. */
function findByPlace(directory: string): number[] {
  return readdirSync('/proc').flatMap((pid) => {
    try {
      return readlinkSync(join('/proc', pid, 'cwd')).startsWith(directory) ? [Number(pid)] : [];
    } catch {
      return []; // no process, or gone meanwhile
    }
  });
}

/** Processes with this word in their command line that are Node. */
function findByArgument(word: string): number[] {
  return readdirSync('/proc').flatMap((pid) => {
    try {
      const words = readFileSync(join('/proc', pid, 'cmdline'), 'utf8').split('\0');
      return words[0] === process.execPath && words.includes(word) ? [Number(pid)] : [];
    } catch {
      return []; // no process, or gone meanwhile
    }
  });
}
