/** Supervised processes, with real ones: they die with us, know nothing of us, and flood nothing. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { newSandboxId } from '@onejob/protocol';
import { checkLeaksAfterEach } from '../../tests/_leaks.ts';
import { killSandboxProcesses, listSandboxProcesses } from './processes.ts';
import { superviseProcess, type SupervisedProcess } from './supervised-process.ts';

checkLeaksAfterEach();

const hostMarker = `test-${randomBytes(8).toString('hex')}`;
const start = (
  command: string,
  args: readonly string[],
  sandboxId = newSandboxId(),
  environment: Record<string, string> = { PATH: '/usr/bin:/bin' },
): SupervisedProcess =>
  superviseProcess({ command, args, hostMarker, sandboxId, environment, directory: tmpdir() });

function isRunning(pid: number): boolean {
  try {
    return /^State:\s+[^ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (const deadline = performance.now() + 10_000; !(await holds());) {
    assert.ok(performance.now() < deadline, `waited in vain until ${what}`);
    await sleep(5);
  }
}

test('it dies with the process that supervises it, even when that is killed', async () => {
  const marker = `${hostMarker}-parent`;
  const script = `
    import { superviseProcess } from ${JSON.stringify(import.meta.resolve('./supervised-process.ts'))};
    const child = superviseProcess({ command: 'sleep', args: ['60'], hostMarker: '${marker}',
      sandboxId: '${newSandboxId()}', environment: {}, directory: '/' });
    console.log(child.pid);`;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(parent.stdout, 'data');
  await until('it runs', async () => (await listSandboxProcesses(marker)).length === 1);
  parent.kill('SIGKILL');
  await once(parent, 'exit');
  await until('it is dead', async () => (await listSandboxProcesses(marker)).length === 0);
});

test('nothing of our own environment reaches it, only what is given and the two markers', async () => {
  process.env['ONEJOB_TEST_SECRET'] = 'of the agent';
  const sandboxId = newSandboxId();
  const child = start('/usr/bin/env', [], sandboxId, { GIVEN: 'yes' });
  assert.deepEqual(await child.exited, { code: 0, signal: null });
  delete process.env['ONEJOB_TEST_SECRET'];
  assert.deepEqual(child.tail().trim().split('\n').toSorted(), [
    'GIVEN=yes',
    `ONEJOB_HOST=${hostMarker}`,
    `ONEJOB_SANDBOX=${sandboxId}`,
  ]);
});

test('what is left of its group dies with it, and when it is killed, also without its markers', async (context) => {
  for (const end of ['exit 0', 'exec sleep 300']) {
    const child = start('sh', [
      '-c',
      `env -i /usr/bin/sleep 301 >/dev/null 2>&1 & echo $!; ${end}`,
    ]);
    await until('it says whom it started', async () => await Promise.resolve(child.tail() !== ''));
    const left = Number(child.tail());
    context.after(() => {
      if (isRunning(left)) process.kill(left, 'SIGKILL');
    });
    if (end !== 'exit 0') child.kill();
    await child.exited;
    await until('that is dead, too', async () => await Promise.resolve(!isRunning(left)));
  }
});

test('only the last output is kept, of both streams', async () => {
  const child = start('sh', ['-c', 'head -c 3000000 /dev/zero | tr "\\0" x; echo the end >&2']);
  assert.equal((await child.exited).code, 0);
  assert.ok(Buffer.byteLength(child.tail()) <= 16 * 1024);
  assert.match(child.tail(), /x{1000}the end\n$/);
});

test('its end is told as it was: exit code, signal, or not started', async () => {
  assert.deepEqual(await start('sh', ['-c', 'exit 7']).exited, { code: 7, signal: null });
  assert.deepEqual(await start('sh', ['-c', 'kill -9 $$']).exited, {
    code: null,
    signal: 'SIGKILL',
  });
  const missing = start('/no/such/program', []);
  assert.equal((await missing.exited).code, 127);
  assert.match(missing.tail(), /no\/such\/program/);
  const nowhere = superviseProcess({
    command: 'true',
    args: [],
    hostMarker,
    sandboxId: newSandboxId(),
    environment: {},
    directory: '/no/such/directory',
  });
  assert.equal((await nowhere.exited).code, 127);
});

test('its end is seen although a child of it keeps its output open', async () => {
  const sandboxId = newSandboxId();
  const child = start('sh', ['-c', 'sleep 60 & echo gone'], sandboxId);
  assert.equal((await child.exited).code, 0);
  assert.match(child.tail(), /gone/);
  await killSandboxProcesses(hostMarker, sandboxId);
});

test('killing a sandbox ends its processes, forked and detached ones too, and no other', async () => {
  const [doomed, spared] = [newSandboxId(), newSandboxId()];
  const first = start('sh', ['-c', 'setsid sleep 60 & (sleep 60 &) ; sleep 60'], doomed);
  const other = start('sleep', ['60'], spared);
  const of = async (id: string): Promise<number> => {
    const processes = await listSandboxProcesses(hostMarker);
    return processes.filter((one) => one.environment.get('ONEJOB_SANDBOX') === id).length;
  };
  await until('all run', async () => (await of(doomed)) >= 4 && (await of(spared)) === 1);
  await killSandboxProcesses(hostMarker, doomed);
  await killSandboxProcesses(hostMarker, doomed);
  assert.equal(await of(doomed), 0);
  assert.equal(await of(spared), 1);
  assert.equal((await first.exited).signal, 'SIGKILL');
  await killSandboxProcesses(hostMarker, spared);
  await other.exited;
});

test('a process is found at every moment of its start, also between two programs', async () => {
  // setpriv becomes the command some milliseconds after it was started. While an exec lays out the
  // environment, none is to be read: a large one makes that moment long enough to be met.
  const large = Object.fromEntries(Array.from({ length: 40_000 }, (_, index) => [`V${index}`, '']));
  for (let round = 0; round < 60; round++) {
    const sandboxId = newSandboxId();
    const child = start('/usr/bin/sleep', ['60'], sandboxId, large);
    const begin = performance.now();
    while (performance.now() - begin < round / 5);
    await killSandboxProcesses(hostMarker, sandboxId);
    const isOver = await Promise.race([
      child.exited.then(() => true),
      sleep(10_000, false, { ref: false }),
    ]);
    child.kill();
    assert.ok(isOver, `round ${round}: it was not seen`);
  }
});
