/** The driver contract on the process driver, and what it refuses to run. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { bundleGuestRunner } from '@onejob/image';
import { PROCESS_BOOT_TIMEOUT_MS, type ProcessSettings } from '../src/drivers/process/config.ts';
import { createProcessDriver } from '../src/drivers/process/driver.ts';
import { mayRunFrom } from '../src/host/exec-allowed.ts';
import { tryOwnUser } from '../src/host/own-user.ts';
import { listSandboxProcesses } from '../src/host/processes.ts';
import { SANDBOX_USERS } from '../src/host/sandbox-user.ts';
import type { SandboxDriver } from '../src/sandbox/driver.ts';
import { readJournals } from '../src/sandbox/journal.ts';
import { AgentLab } from './_agent-lab.ts';
import { runScript, SandboxLab } from './_sandbox-lab.ts';
import { driverContract } from './driver-contract.ts';

const { path: guestRunnerPath } = await bundleGuestRunner({
  cacheDir: join(homedir(), '.cache', 'onejob'),
});

const createDriver = (
  { hostMarker }: { hostMarker: string },
  settings: ProcessSettings = {},
): SandboxDriver =>
  createProcessDriver({
    hostMarker,
    nodePath: process.execPath,
    searchPath: `:./bin:${process.env['PATH'] ?? '/usr/bin:/bin'}:`,
    bootTimeoutMs: PROCESS_BOOT_TIMEOUT_MS,
    settings: { trustedTenants: ['trusted'], user: 'agent', ...settings },
    users: SANDBOX_USERS,
  });

driverContract({
  name: 'process',
  createDriver,
  image: null,
  guestRunnerPath,
  ownKernel: false,
  auto: false,
  killRunner: 'from outside',
});

const tried = await tryOwnUser({ nodePath: process.execPath, directories: [] });
if ('whyNot' in tried) test('a user of its own', { skip: tried.whyNot }, () => {});
else describeOwnUser();

describe('process alone', () => {
  test('what is not trusted is refused before anything of it is made', async () => {
    await using lab = await SandboxLab.open(null, guestRunnerPath);
    for (const origin of [
      { tenant: 'stranger', isFromElsewhere: false },
      { tenant: 'trusted', isFromElsewhere: true },
    ]) {
      const sandbox = await lab.newSandbox({ origin });
      const provisioning = createDriver(lab).provision(sandbox.request, sandbox.stack);
      await assert.rejects(provisioning, { code: 'job_refused' });
      await lab.bury(sandbox);
    }
  });

  test('an agent ends such jobs as refused, unadopted, in one lease', async () => {
    await using lab = await AgentLab.open();
    await lab.controlPlane.start();
    await lab.agent();
    for (const [more, why] of [
      [{ tenant: 'stranger' }, /does not trust the tenant stranger/],
      [{ fromElsewhere: true }, /of a pull request from another repository/],
    ] as const) {
      const job = lab.controlPlane.queue([['finish', 'steps_completed']], more);
      const { reason, message } = await lab.ended(job);
      assert.equal(reason, 'unsupported');
      assert.match(message, why);
      assert.deepEqual([job.adoptions, job.leases, job.released], [0, 1, []]);
    }
    await lab.nothingLeft();
  });

  test("a job has nothing of its agent's environment but the absolute parts of PATH", async (context) => {
    process.env['ONEJOB_TEST_SECRET'] = 'of the agent';
    context.after(() => delete process.env['ONEJOB_TEST_SECRET']);
    await using lab = await SandboxLab.open(null, guestRunnerPath);
    const sandbox = await lab.newSandbox();
    const handle = await createDriver(lab).provision(sandbox.request, sandbox.stack);
    const said = await runScript(
      handle,
      'tr "\\0" "\\n" < /proc/$PPID/environ; echo "path=$PATH"; env',
    );
    assert.equal(said.finished?.conclusion, 'success', said.log);
    assert.match(said.log, /^path=\/[^\n]*[^:]$/m);
    assert.doesNotMatch(
      said.log,
      /ONEJOB_TEST_SECRET|of the agent|^(?:PATH|path)=.*(?:\.\/bin|::)/m,
    );
    await handle.kill();
    await lab.bury(sandbox);
  });

  test('where programs may be run from its work directory, requireNoexec runs none', async (context) => {
    await using lab = await SandboxLab.open(null, guestRunnerPath);
    if (!(await mayRunFrom(lab.root))) return context.skip('the file system here is noexec');
    const sandbox = await lab.newSandbox();
    const driver = createDriver(lab, { requireNoexec: true });
    await assert.rejects(driver.provision(sandbox.request, sandbox.stack), {
      code: 'invalid_configuration',
      message: /Programs can be run from .*\/work, which requireNoexec .* forbids/,
    });
    await lab.bury(sandbox);
  });
});

function describeOwnUser(): void {
  driverContract({
    name: 'process, a user of its own',
    createDriver: (host) => createDriver(host, { user: 'own' }),
    image: null,
    guestRunnerPath,
    ownKernel: false,
    auto: false,
    killRunner: 'from outside',
  });

  describe('a user of its own', () => {
    test('a job is nobody else, gets no rights, and reads and writes nothing of its agent', async () => {
      await using lab = await SandboxLab.open(null, guestRunnerPath);
      const sandbox = await lab.newSandbox();
      const handle = await createDriver(lab, { user: 'own' }).provision(
        sandbox.request,
        sandbox.stack,
      );
      const script = [
        'echo "user=$(id -u) group=$(id -g) groups=$(id -G)"',
        'grep -E "^(CapEff|CapPrm|CapBnd|NoNewPrivs):" /proc/self/status',
        `ls ${sandbox.directory} 2>/dev/null && echo saw-directory`,
        `ls ${lab.root} 2>/dev/null && echo saw-state`,
        'test -w /etc && echo may-write-etc',
        'test -w /mnt && echo may-write-view',
        'mount -t tmpfs none "$HOME" 2>/dev/null && echo mounted',
        'touch "$HOME/a" /tmp/onejob-own-user-test && echo own-places',
        'ls /proc | grep -c "^[0-9]"',
      ].join('\n');
      const said = await runScript(handle, script);
      assert.equal(said.finished?.conclusion, 'success', said.log);
      const log = said.log.split('##[endgroup]\n').at(-1) ?? '';
      const [, user] = /^user=(\d+) group=\1 groups=\1$/m.exec(log) ?? [];
      assert.ok(Number(user) >= SANDBOX_USERS.first, log);
      for (const set of ['CapEff', 'CapPrm', 'CapBnd']) {
        assert.match(log, new RegExp(`^${set}:\\s+0+$`, 'm'));
      }
      assert.match(log, /^NoNewPrivs:\s+1$/m);
      assert.match(log, /^own-places$/m);
      assert.doesNotMatch(log, /saw-|may-write-|mounted/);
      assert.equal(existsSync('/tmp/onejob-own-user-test'), false);
      await handle.kill();
      await lab.bury(sandbox);
    });

    test('its processes die with their agent, however that dies', testDeath);
  });
}

async function testDeath(): Promise<void> {
  await using lab = await SandboxLab.open(null, guestRunnerPath);
  const words = [join(import.meta.dirname, '_provisioning-agent.ts'), lab.hostMarker, lab.root];
  const request = { image: null, guestRunnerPath, cacheDirectory: lab.root };
  const agent = spawn(process.execPath, [...words, JSON.stringify(request)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const exited = once(agent, 'exit').then(() => [Buffer.from('it ended')]);
  const [said] = (await Promise.race([once(agent.stdout, 'data'), exited])) as [Buffer];
  assert.match(said.toString(), /^provisioned sb/);
  const runners = async () => (await listSandboxProcesses(lab.hostMarker)).length;
  assert.ok((await runners()) > 0);
  // A runner that runs would end by itself, since its link does.
  for (const { pid } of await listSandboxProcesses(lab.hostMarker)) process.kill(pid, 'SIGSTOP');
  agent.kill('SIGKILL');
  await exited;
  const deadline = performance.now() + 10_000;
  while ((await runners()) > 0) {
    assert.ok(performance.now() < deadline, 'a process of it lives');
    await sleep(20);
  }
  for (const line of readJournals(join(lab.root, 'journal')).flatMap(({ lines }) => lines)) {
    if (line.entry === 'acquire') await lab.undo(line.acquisition);
  }
}
