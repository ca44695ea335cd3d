/** Who is to blame for a container's end, from what was seen of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainEnd } from './handle.ts';

const exit = (exitCode: number, error = '') => ({ exitCode, error, isOutOfMemory: false });
const end = (ended: Parameters<typeof explainEnd>[0]['ended'], output = '', killedByUs = false) =>
  explainEnd({ ended, killedByUs, output });

test('the runner, the engine and we are told apart', () => {
  assert.deepEqual(end(exit(0)), {
    cause: 'runner_gone',
    detail: 'the guest runner ended with exit code 0',
  });
  assert.deepEqual(end(exit(137), ' Killed\n'), {
    cause: 'runner_gone',
    detail: 'the guest runner ended with signal 9; it said: Killed',
  });
  assert.equal(end(exit(127, 'no such file')).cause, 'vmm_died');
  assert.match(end(exit(127, 'no such file')).detail, /the container engine failed: no such file/);
  assert.deepEqual(end({ gone: 'it does not answer' }), {
    cause: 'vmm_died',
    detail: 'it does not answer',
  });
  for (const ended of [exit(0), exit(137), exit(1, 'x'), { gone: 'x' }]) {
    assert.equal(end(ended, 'x', true).cause, 'killed');
  }
});
