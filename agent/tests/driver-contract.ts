/**
 * What every sandbox driver promises, as tests. Each driver's own test file calls `driverContract`
 * with a way to make the driver; the guest in it is the real guest runner.
 */
import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { basename } from 'node:path';
import { describe, test } from 'node:test';
import { explainError, MACHINE } from '@onejob/protocol';
import { listSandboxProcesses } from '../src/host/processes.ts';
import type { MachineImage, SandboxDriver } from '../src/sandbox/driver.ts';
import { FailingStack, runScript, SandboxLab, type Conversation } from './_sandbox-lab.ts';

export type DriverUnderTest = {
  name: string;
  createDriver(host: { hostMarker: string }): SandboxDriver;
  /** undefined for drivers whose guest is a file of the host. */
  image: MachineImage | null;
  guestRunnerPath: string;
  ownKernel: boolean;
  /** May `auto` take it? */
  auto: boolean;
  /** By whom its guest runner can be killed: a job, or only the host. */
  killRunner: 'from inside' | 'from outside';
  /** Its kernel counts by its own clock what a process ran, also while the host held it still. */
  countsOwnTime?: boolean;
  /** Whose engine does not tell that the kernel killed for want of memory: false. */
  tellsMemoryKills?: false;
  /** Why what its kernel limits is not to be seen here; undefined: it is. */
  noMachine?: string;
};

const MiB = 1024 * 1024;
/** No driver acquires more than this for one sandbox; the loop below ends long before. */
const MOST_ACQUISITIONS = 20;

export function driverContract(subject: DriverUnderTest): void {
  const newLab = async (): Promise<SandboxLab> =>
    await SandboxLab.open(subject.image, subject.guestRunnerPath);

  describe(`driver ${subject.name}`, () => {
    describeLife(subject, newLab);
    describeLimits(subject, newLab);
    describeFailures(subject, newLab);
    describeRefusals(subject, newLab);
    if (subject.ownKernel) describeOwnKernel(subject, newLab);
  });
}

const FIRST_SCRIPT =
  'echo "six by nine: $((6 * 9))"; git ls-remote https://forge.example/code 2>&1 || true';

/** The guard of these tests lets nothing through. */
function assertGuarded({ log, asked }: Conversation): void {
  assert.match(log, /unable to access 'https:\/\/forge\.example\/code\/': .*403/);
  assert.ok(asked.has('CONNECT forge.example:443'), [...asked].join(', '));
}

function describeLife(subject: DriverUnderTest, newLab: () => Promise<SandboxLab>): void {
  test('says what it found out by trying, and remembers it', async () => {
    const driver = subject.createDriver({ hostMarker: 'probe' });
    const probe = await driver.probe();
    assert.equal(probe.works, true, probe.note);
    assert.equal(probe.ownKernel, subject.ownKernel);
    assert.equal(probe.auto, subject.auto);
    assert.equal(probe.bootsImage, subject.image !== null);
    assert.deepEqual(await driver.probe(), probe);
  });

  test('boots to a guest runner that says hello, does a job by the guard and is gone with it', async () => {
    await using lab = await newLab();
    const driver = subject.createDriver(lab);
    const sandbox = await lab.newSandbox();
    const handle = await driver.provision(sandbox.request, sandbox.stack);
    const { control, bulk } = handle.carriers;
    const said = await runScript(handle, FIRST_SCRIPT);
    assert.equal(said.violation, undefined);
    assert.equal(said.hello?.protocol, 'onejob.guest.v1');
    assert.equal(said.finished?.conclusion, 'success', said.finished?.message);
    assert.match(said.log, /six by nine: 54/);
    // A stand-in has no loopback, over which programs ask.
    if (subject.noMachine === undefined) assertGuarded(said);
    // Two connections, each with an HTTP/2 session of its own that has said something.
    assert.notEqual(control, bulk);
    assert.ok(control.bytesRead > 0 && bulk.bytesRead > 0);
    const end = await handle.ended;
    assert.equal(end.cause, 'runner_gone');
    assert.match(end.detail, /exit (status|code) 0/);
    assert.ok(Object.values(handle.phasesMs).every((ms) => ms >= 0));
    await handle.kill();
    await lab.bury(sandbox);
  });

  test('a kill is at once, may come twice, and leaves nothing; undoing again is harmless', async () => {
    await using lab = await newLab();
    const driver = subject.createDriver(lab);
    const sandbox = await lab.newSandbox();
    const handle = await driver.provision(sandbox.request, sandbox.stack);
    await Promise.all([handle.kill(), handle.kill()]);
    assert.equal((await handle.ended).cause, 'killed');
    await handle.kill();
    assert.equal((await handle.ended).cause, 'killed');
    await sandbox.stack.bury();
    await lab.undo({ kind: 'process', role: 'again', sandboxId: sandbox.sandboxId });
    await lab.bury(sandbox);
    await lab.bury(sandbox);
  });

  test('a runner that is killed is told apart from a host that fails', async () => {
    await using lab = await newLab();
    const driver = subject.createDriver(lab);
    const sandbox = await lab.newSandbox();
    const handle = await driver.provision(sandbox.request, sandbox.stack);
    if (subject.killRunner === 'from inside') {
      const said = await runScript(handle, 'kill -9 $PPID; sleep 60');
      assert.equal(said.finished, undefined);
      assert.match((await handle.ended).detail, /the guest runner ended with signal 9/);
    } else {
      await killFromOutside(lab.hostMarker, subject.guestRunnerPath);
    }
    const end = await handle.ended;
    assert.equal(end.cause, 'runner_gone', end.detail);
    await handle.kill();
    await lab.bury(sandbox);
  });
}

function describeLimits(subject: DriverUnderTest, newLab: () => Promise<SandboxLab>): void {
  test('a sandbox that runs out of memory says so, and who watches it lives', async (context) => {
    await using lab = await newLab();
    const driver = subject.createDriver(lab);
    const { limits, note } = await driver.probe();
    if (!limits.includes('memory')) return context.skip(note);
    const sandbox = await lab.newSandbox({
      shape: { cpus: 1, memoryBytes: 256 * MiB, diskBytes: 300 * MiB },
    });
    const handle = await driver.provision(sandbox.request, sandbox.stack);
    const said = await runScript(handle, 'tail /dev/zero');
    await handle.ended;
    if (subject.tellsMemoryKills !== false) {
      assert.ok(handle.oomKills() >= 1, said.finished?.message);
    }
    assert.equal((await handle.ended).cause, 'runner_gone');
    await handle.kill();
    await lab.bury(sandbox);
  });

  test('processor time is that of the shape', async (context) => {
    await using lab = await newLab();
    const driver = subject.createDriver(lab);
    const { limits, note } = await driver.probe();
    if (!limits.includes('cpu')) return context.skip(note);
    if (subject.countsOwnTime === true) return context.skip('it cannot be seen from inside');
    const sandbox = await lab.newSandbox({
      shape: { cpus: 1, memoryBytes: 512 * MiB, diskBytes: 300 * MiB },
    });
    const handle = await driver.provision(sandbox.request, sandbox.stack);
    // Two busy loops for two seconds: on one processor they get two seconds of it, not four.
    const busy = 'timeout 2 sh -c "while :; do :; done"';
    const said = await runScript(handle, `${busy} & ${busy} & wait; cat /proc/$$/stat; nproc`);
    const ticks = /^\d+ \([^)]*\) (?:\S+ ){13}(\d+) (\d+)/m.exec(said.log);
    const seconds = (Number(ticks?.[1]) + Number(ticks?.[2])) / 100;
    assert.ok(seconds > 0.2 && seconds < 3, `${seconds} s of processor time\n${said.log}`);
    await handle.kill();
    await lab.bury(sandbox);
  });
}

/** A job cannot always do it itself: the first process of a PID namespace ignores its children. */
async function killFromOutside(hostMarker: string, guestRunnerPath: string): Promise<void> {
  const runners = (await listSandboxProcesses(hostMarker)).filter(({ pid }) =>
    readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(basename(guestRunnerPath)),
  );
  const innermost = Math.max(...runners.map(({ pid }) => pid));
  process.kill(innermost, 'SIGKILL');
}

function describeFailures(subject: DriverUnderTest, newLab: () => Promise<SandboxLab>): void {
  for (const moment of ['before', 'after'] as const) {
    test(`each acquisition that fails ${moment} it is made leaves nothing`, async () => {
      await using lab = await newLab();
      const driver = subject.createDriver(lab);
      let acquisitions = 0;
      for (let failing = 1; failing <= MOST_ACQUISITIONS; failing++) {
        let stack: FailingStack | undefined;
        const sandbox = await lab.newSandbox({}, (journal, undo) => {
          stack = new FailingStack(journal, undo, failing, moment);
          return stack;
        });
        const outcome = await driver.provision(sandbox.request, sandbox.stack).then(
          async (handle) => await handle.kill().then(() => undefined),
          (error: unknown) => error as Error,
        );
        await lab.bury(sandbox);
        acquisitions = stack?.count ?? 0;
        if (outcome === undefined) break;
        assert.match(outcome.message, new RegExp(`acquisition ${failing} failed`));
      }
      assert.ok(acquisitions >= 3 && acquisitions < MOST_ACQUISITIONS, `${acquisitions}`);
    });
  }

  test('provisioning that is withdrawn, at whatever step, ends with the reason and leaves nothing', async () => {
    await using lab = await newLab();
    const driver = subject.createDriver(lab);
    const reached: string[] = [];
    for (let step = 0; step <= MOST_ACQUISITIONS; step++) {
      const withdrawal = new AbortController();
      if (step === 0) withdrawal.abort(new Error('withdrawn before it began'));
      const sandbox = await lab.newSandbox({ signal: withdrawal.signal });
      const acquire = sandbox.stack.acquire.bind(sandbox.stack);
      let count = 0;
      sandbox.stack.acquire = async (acquisition, make) => {
        const made = await acquire(acquisition, make);
        if (++count === step) {
          reached.push(acquisition.kind);
          setImmediate(() => withdrawal.abort(new Error(`withdrawn after ${step}`)));
        }
        return made;
      };
      const outcome = await driver.provision(sandbox.request, sandbox.stack).then(
        async (handle) => await handle.kill().then(() => undefined),
        (error: unknown) => error as Error,
      );
      await lab.bury(sandbox);
      if (outcome === undefined) break;
      assert.match(explainError(outcome), /withdrawn/);
    }
    assert.equal(reached.at(-1), 'process', 'the last thing acquired is what boots');
  });
}

function describeRefusals(subject: DriverUnderTest, newLab: () => Promise<SandboxLab>): void {
  test('a shape that is no machine is refused with each value that is wrong', async () => {
    await using lab = await newLab();
    const driver = subject.createDriver(lab);
    const sandbox = await lab.newSandbox({ shape: { cpus: 0, memoryBytes: 1, diskBytes: -1 } });
    await assert.rejects(driver.provision(sandbox.request, sandbox.stack), {
      code: 'invalid_configuration',
      message:
        /cannot have 0 processors \(1 to .*, 1 bytes of memory \(at least .*-1 bytes of disk/,
    });
    await lab.bury(sandbox);
  });

  test('a directory too long for a socket is refused in words, before anything runs', async () => {
    await using lab = await newLab();
    const driver = subject.createDriver(lab);
    const sandbox = await lab.newSandbox();
    const directory = `${sandbox.directory}/${'x'.repeat(90)}`;
    await sandbox.stack.acquire({ kind: 'directory', path: directory }, async () => {
      await mkdir(directory);
    });
    const provisioning = driver.provision({ ...sandbox.request, directory }, sandbox.stack);
    await assert.rejects(provisioning, {
      code: 'invalid_configuration',
      message: /socket path .* is longer than 107 bytes/,
    });
    await lab.bury(sandbox);
  });
}

function describeOwnKernel(subject: DriverUnderTest, newLab: () => Promise<SandboxLab>): void {
  test('processors, memory, disk and network of the machine are those of its shape', async (context) => {
    if (subject.noMachine !== undefined) return context.skip(subject.noMachine);
    await using lab = await newLab();
    const driver = subject.createDriver(lab);
    const shape = { cpus: 2, memoryBytes: 768 * MiB, diskBytes: 300 * MiB };
    const sandbox = await lab.newSandbox({ shape });
    const handle = await driver.provision(sandbox.request, sandbox.stack);
    const script = [
      'echo "cpus=$(nproc)"',
      'awk \'/MemTotal/ {print "memory=" $2 * 1024}\' /proc/meminfo',
      `echo "disk=$(df --block-size=1 --output=size ${MACHINE.workDirectory} | tail -1 | tr -d ' ')"`,
      'echo "interfaces=$(ls /sys/class/net | xargs)"',
      `head -c ${shape.diskBytes} /dev/zero > ${MACHINE.workDirectory}/fill || echo disk-is-limited`,
    ].join('\n');
    const said = await runScript(handle, script);
    const value = (name: string): number =>
      Number(new RegExp(`^${name}=(\\d+)$`, 'm').exec(said.log)?.[1]);
    assert.equal(value('cpus'), shape.cpus, said.log);
    assert.ok(value('memory') < shape.memoryBytes && value('memory') > shape.memoryBytes * 0.85);
    assert.ok(value('disk') < shape.diskBytes && value('disk') > shape.diskBytes * 0.6);
    assert.match(said.log, /^interfaces=lo$/m);
    assert.match(said.log, /^disk-is-limited$/m);
    await handle.kill();
    await lab.bury(sandbox);
  });

  test('a missing image is refused before anything is acquired', async () => {
    await using lab = await newLab();
    const driver = subject.createDriver(lab);
    const sandbox = await lab.newSandbox({ image: null });
    const provisioning = driver.provision(sandbox.request, sandbox.stack);
    await assert.rejects(provisioning, { code: 'image_missing' });
    assert.ok(existsSync(sandbox.directory));
    await lab.bury(sandbox);
  });
}
