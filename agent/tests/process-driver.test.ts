/** The driver contract on the process driver, and what it refuses to run. */
import assert from 'node:assert/strict';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { bundleGuestRunner } from '@onejob/image';
import { PROCESS_BOOT_TIMEOUT_MS, type ProcessSettings } from '../src/drivers/process/config.ts';
import { createProcessDriver } from '../src/drivers/process/driver.ts';
import { mayRunFrom } from '../src/host/exec-allowed.ts';
import type { SandboxDriver } from '../src/sandbox/driver.ts';
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
    settings: { trustedTenants: ['trusted'], ...settings },
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
