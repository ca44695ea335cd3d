/** The driver contract on real microVMs, and what only qemu promises. Builds the image when missing. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import { bundleGuestRunner, ensureImage } from '@onejob/image';
import type { QemuDriverConfig } from '../src/drivers/qemu/config.ts';
import { createQemuDriver } from '../src/drivers/qemu/driver.ts';
import { listSandboxProcesses } from '../src/host/processes.ts';
import type { MachineImage, SandboxDriver } from '../src/sandbox/driver.ts';
import { findQemu, runScript, SandboxLab } from './_sandbox-lab.ts';
import { UNPROXIED } from './_unproxied.ts';
import { driverContract } from './driver-contract.ts';

const cacheDir = join(homedir(), '.cache', 'onejob');
const probeDirectory = await mkdtemp(join(tmpdir(), 'onejob-probe-'));
after(async () => await rm(probeDirectory, { recursive: true, force: true }));

const image: MachineImage = await ensureImage({ cacheDir });
const { path: guestRunnerPath } = await bundleGuestRunner({ cacheDir });
const createDriver = (
  host: { hostMarker: string },
  config: Partial<QemuDriverConfig> = {},
): SandboxDriver =>
  createQemuDriver({ hostMarker: host.hostMarker, cacheDirectory: probeDirectory, ...config });

driverContract({
  ...{ name: 'qemu', createDriver, image, guestRunnerPath },
  ...{ ownKernel: true, auto: true, killRunner: 'from inside' },
});

describe('qemu alone', () => {
  test('a monitor killed from outside is the platform failing', async () => {
    await using lab = await SandboxLab.open(image, guestRunnerPath);
    const sandbox = await lab.newSandbox();
    const handle = await createDriver(lab).provision(sandbox.request, sandbox.stack);
    const qemu = await findQemu(lab.hostMarker);
    process.kill(qemu.pid, 'SIGKILL');
    const end = await handle.ended;
    assert.deepEqual(end, { cause: 'vmm_died', detail: 'QEMU ended with signal SIGKILL' });
    await handle.kill();
    await lab.bury(sandbox);
  });

  test('a program that knows no proxy asks the guard for what it connects to, and hears at once', async () => {
    await using lab = await SandboxLab.open(image, guestRunnerPath);
    const sandbox = await lab.newSandbox();
    const handle = await createDriver(lab).provision(sandbox.request, sandbox.stack);
    const { log, asked } = await runScript(handle, UNPROXIED);
    await handle.kill();
    await lab.bury(sandbox);
    assert.match(log, /^name (?:7|52|56)$/m);
    assert.match(log, /^address (?:7|52|56)$/m);
    assert.match(log, /^unknown 6$/m);
    assert.match(log, /^own 7$/m);
    assert.match(log, /^IPv6 7$/m);
    // Emulated, four programs take a while to start; what is not answered takes 20 s each.
    assert.match(log, /^it took 1?\d s$/m);
    const connections = ['CONNECT 93.184.215.14:80', 'CONNECT forge.example:8443'];
    assert.deepEqual([...asked].toSorted(), [
      ...connections,
      'GET forge.example',
      'GET nowhere.test',
    ]);
  });

  test('a guest that restarts itself, or whose kernel panics, ends its machine', async () => {
    await using lab = await SandboxLab.open(image, guestRunnerPath);
    for (const key of ['b', 'c']) {
      const sandbox = await lab.newSandbox();
      const handle = await createDriver(lab).provision(sandbox.request, sandbox.stack);
      await runScript(handle, `echo ${key} > /proc/sysrq-trigger; sleep 60`);
      const end = await handle.ended;
      assert.equal(end.cause, 'runner_gone', `sysrq ${key}: ${end.detail}`);
      await handle.kill();
      await lab.bury(sandbox);
    }
  });

  test('a host without room for what a job may write is told apart from a full disk of its own', async (context) => {
    if (process.getuid?.() !== 0) return context.skip('a small file system takes root to mount');
    const small = await mkdtemp(join(tmpdir(), 'onejob-small-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=280m', 'tmpfs', small]);
    try {
      await using lab = await SandboxLab.open(image, guestRunnerPath);
      const sandbox = await lab.newSandbox({ directory: small });
      const handle = await createDriver(lab).provision(sandbox.request, sandbox.stack);
      assert.equal(await handle.isHostDiskFull(), false);
      const said = await runScript(handle, 'dd if=/dev/zero of=fill bs=1M count=300 conv=fsync');
      assert.equal(said.finished?.conclusion, 'failure', said.log);
      assert.equal(await handle.isHostDiskFull(), true);
      await handle.kill();
      await lab.bury(sandbox);
    } finally {
      execFileSync('umount', [small]);
      await rm(small, { recursive: true });
    }
  });

  test('a job gets no more of the disk than the rate of its machine', async () => {
    await using lab = await SandboxLab.open(image, guestRunnerPath);
    const sandbox = await lab.newSandbox();
    const diskRate = { bytesPerSecond: 16 * 1024 * 1024, operationsPerSecond: 100_000 };
    const handle = await createDriver(lab, { settings: { diskRate } }).provision(
      sandbox.request,
      sandbox.stack,
    );
    // Past the guest's page cache. Without a rate it takes less than a second.
    const said = await runScript(
      handle,
      'before=$(date +%s%3N); dd if=/dev/zero of=fill bs=1M count=64 oflag=direct\n' +
        'echo "took $(($(date +%s%3N) - before)) ms"',
    );
    const tookMs = Number(/^took (\d+) ms$/m.exec(said.log)?.[1]);
    assert.ok(tookMs >= 3000, said.log);
    await handle.kill();
    await lab.bury(sandbox);
  });

  test('a job that kills every process of its machine is told as just that', async () => {
    await using lab = await SandboxLab.open(image, guestRunnerPath);
    const sandbox = await lab.newSandbox();
    const handle = await createDriver(lab).provision(sandbox.request, sandbox.stack);
    const said = await runScript(handle, 'kill -9 -1; sleep 60');
    assert.equal(said.finished, undefined);
    const end = await handle.ended;
    assert.equal(end.cause, 'runner_gone');
    assert.match(end.detail, /the guest runner ended with signal 9/);
    await handle.kill();
    await lab.bury(sandbox);
  });

  test("QEMU gets nothing of its agent's environment, and its arguments hold paths only", async () => {
    await using lab = await SandboxLab.open(image, guestRunnerPath);
    const sandbox = await lab.newSandbox();
    const handle = await createDriver(lab).provision(sandbox.request, sandbox.stack);
    for (const { pid, environment } of await listSandboxProcesses(lab.hostMarker)) {
      assert.deepEqual([...environment.keys()].toSorted(), ['ONEJOB_HOST', 'ONEJOB_SANDBOX']);
      const words = await readFile(`/proc/${pid}/cmdline`, 'utf8');
      assert.doesNotMatch(words, /[0-9a-f]{64}/, 'a passphrase');
    }
    const { pid } = await findQemu(lab.hostMarker);
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    assert.match(status, /^NoNewPrivs:\s*1$/m);
    assert.match(status, /^Seccomp:\s*2$/m);
    await handle.kill();
    await lab.bury(sandbox);
  });

  test('a boot that takes too long ends with what was seen of it, and leaves nothing', async () => {
    await using lab = await SandboxLab.open(image, guestRunnerPath);
    const driver = createDriver(lab, { bootTimeoutMs: 300 });
    await driver.probe();
    const sandbox = await lab.newSandbox();
    await assert.rejects(driver.provision(sandbox.request, sandbox.stack), {
      code: 'boot_timeout',
      message: /did not come up within 0\.3 s \(.*QEMU \d/,
    });
    await lab.bury(sandbox);
  });

  test('a kernel that is not there ends the boot with the last words of QEMU', async () => {
    await using lab = await SandboxLab.open(
      { ...image, kernelPath: '/no/such/vmlinux' },
      guestRunnerPath,
    );
    const sandbox = await lab.newSandbox();
    await assert.rejects(createDriver(lab).provision(sandbox.request, sandbox.stack), {
      code: 'boot_failed',
      message: /\/no\/such\/vmlinux/,
    });
    await lab.bury(sandbox);
  });

  test("a root disk that is none ends the boot with the words of the guest's init", async () => {
    const rootPath = join(probeDirectory, 'root.erofs');
    await writeFile(rootPath, Buffer.alloc(1024 * 1024));
    await using lab = await SandboxLab.open({ ...image, rootPath }, guestRunnerPath);
    const sandbox = await lab.newSandbox();
    await assert.rejects(createDriver(lab).provision(sandbox.request, sandbox.stack), {
      code: 'boot_failed',
      message: /init gave up: cannot mount .* on \/lower/,
    });
    await lab.bury(sandbox);
  });
});
