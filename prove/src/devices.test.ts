/** What is made of a job that wrote nonsense to its machine's devices. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { observeDevices } from './devices.ts';

const job = (ended: string, lines: readonly string[]) => ({
  ...{ sandboxId: 'sb1', driver: 'qemu', driverNote: '', lines, ended },
});
const WROTE = ['onejob-prove wrote 12', 'onejob-prove wrote 49152'];

test('a monitor that ends with an error or by a signal was broken, whatever was heard of it', () => {
  for (const how of ['exit status 3', 'signal SIGSEGV']) {
    const ended = `failure: sandbox_lost: The machine ended: QEMU ended with ${how}.`;
    assert.deepEqual(observeDevices(job(ended, [])), {
      outcome: 'through',
      seen: `its monitor ended with ${how}`,
    });
  }
});

test('a monitor that goes on, or switches its machine off, was not', () => {
  const off = 'failure: runner_gone: the guest switched its machine off (QEMU exit status 0)';
  for (const ended of ['success', 'cancelled: cancelled', off]) {
    assert.deepEqual(observeDevices(job(ended, WROTE)), {
      outcome: 'stopped',
      seen: `after at least 49152 writes its monitor had not failed; its job: ${ended}`,
    });
  }
});

test('nothing written shows nothing', () => {
  assert.deepEqual(observeDevices(job('failure: no ports', ['no ports'])), {
    outcome: 'not tried',
    why: 'it wrote nothing: failure: no ports',
  });
});
