import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempDisposable } from 'node:fs/promises';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { type TestContext } from 'node:test';
import { newSandboxId } from '@onejob/protocol';
import { superviseProcess } from '../../host/supervised-process.ts';
import { INIT_TOTAL_BYTES } from './config.ts';
import { explainEnd, QemuMachine } from './handle.ts';

const seen = {
  exit: { code: 0, signal: null },
  killedByUs: false,
  overdue: false,
  lastEvent: undefined,
  output: '',
} as const;
const runnerExited = {
  event: 'runner_exited',
  status: null,
  signal: 9,
  oomKills: 0,
  output: 'Killed',
} as const;

test('a QEMU that somebody else kills, or that fails, is the platform failing', () => {
  const killed = explainEnd({ ...seen, exit: { code: null, signal: 'SIGKILL' } });
  assert.deepEqual(killed, { cause: 'vmm_died', detail: 'QEMU ended with signal SIGKILL' });
  const failed = explainEnd({ ...seen, exit: { code: 1, signal: null }, output: 'no memory\n' });
  assert.equal(failed.cause, 'vmm_died');
  assert.match(failed.detail, /exit status 1; QEMU said: no memory/);
});

test('a QEMU that fails after its guest claimed an end is the platform failing all the same', () => {
  const end = explainEnd({
    ...seen,
    exit: { code: null, signal: 'SIGSEGV' },
    lastEvent: runnerExited,
  });
  assert.equal(end.cause, 'vmm_died');
});

test('our own kill is told as ours, whatever else was seen', () => {
  const exit = { code: null, signal: 'SIGKILL' } as const;
  const end = explainEnd({ ...seen, exit, killedByUs: true, lastEvent: runnerExited });
  assert.equal(end.cause, 'killed');
});

test('a runner that is gone is told with its exit and its last words', () => {
  const end = explainEnd({ ...seen, lastEvent: runnerExited });
  assert.deepEqual(end, {
    cause: 'runner_gone',
    detail: 'the guest runner ended with signal 9; it said: Killed',
  });
});

test('a guest that does not switch off after its runner is killed and still runner_gone', () => {
  const exit = { code: null, signal: 'SIGKILL' } as const;
  const end = explainEnd({ ...seen, exit, overdue: true, lastEvent: runnerExited });
  assert.equal(end.cause, 'runner_gone');
});

test('a guest that goes down without a word is runner_gone', () => {
  const end = explainEnd(seen);
  assert.equal(end.cause, 'runner_gone');
  assert.match(end.detail, /without a word/);
});

/** A process that only sleeps in QEMU's place, and both ends of an init port. */
async function sleepingMachine(
  context: TestContext,
  directory: string,
): Promise<{ machine: QemuMachine; guest: Socket; host: Socket }> {
  const sandboxId = newSandboxId();
  const hostMarker = directory;
  const process = superviseProcess({
    command: '/bin/sleep',
    args: ['60'],
    hostMarker,
    sandboxId,
    environment: {},
    directory,
  });
  const machine = new QemuMachine({ hostMarker, sandboxId, process });
  const path = join(directory, 'init.sock');
  const server = createServer({ pauseOnConnect: true }).listen(path);
  await once(server, 'listening');
  const guest = connect(path);
  guest.on('error', () => {});
  const [host] = (await once(server, 'connection')) as [Socket];
  server.close();
  machine.listen(host);
  context.after(async () => {
    guest.destroy();
    await machine.kill();
  });
  return { machine, guest, host };
}

test('a machine that stays on after its runner is gone is switched off by us', async (context) => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'onejob-handle-'));
  const { machine, guest } = await sleepingMachine(context, directory.path);
  guest.write(`${JSON.stringify(runnerExited)}\n`);
  assert.deepEqual(await machine.ended, {
    cause: 'runner_gone',
    detail: 'the guest runner ended with signal 9; it said: Killed',
  });
});

test('a guest that floods its init port is not listened to any more, and can be killed', async (context) => {
  await using directory = await mkdtempDisposable(join(tmpdir(), 'onejob-handle-'));
  const { machine, guest, host } = await sleepingMachine(context, directory.path);
  const line = '{"event":"oom_kill","count":1}\n';
  guest.write(line.repeat(Math.ceil((2 * INIT_TOTAL_BYTES) / line.length)));
  guest.write('{"event":"oom_kill","count":7}\n');
  await once(host, 'pause');
  assert.ok(host.bytesRead < 1.5 * INIT_TOTAL_BYTES);
  await machine.kill();
  assert.equal((await machine.ended).cause, 'killed');
  assert.equal(machine.oomKills, 1, 'what came after the flood was not read');
});
