/** Who is to blame for the end of a sandbox of gVisor's, from what was seen of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainEnd } from './handle.ts';

type Seen = Parameters<typeof explainEnd>[0];
const end = (exit: Seen['exit'], more: Partial<Seen> = {}) =>
  explainEnd({ exit, killedByUs: false, oomKills: 0, output: '', ...more });

test('the runner, runsc, want of memory and we are told apart', () => {
  assert.deepEqual(end({ code: 0, signal: null }), {
    cause: 'runner_gone',
    detail: 'the guest runner ended with exit code 0',
  });
  assert.deepEqual(end({ code: 137, signal: null }, { output: ' Killed\n' }), {
    cause: 'runner_gone',
    detail: 'the guest runner ended with signal 9; it said: Killed',
  });
  for (const exit of [
    { code: 128, signal: null },
    { code: null, signal: 'SIGKILL' },
  ] as const) {
    assert.equal(end(exit).cause, 'vmm_died');
    assert.match(end(exit).detail, /^runsc ended with (exit status 128|signal SIGKILL)$/);
    assert.equal(end(exit, { oomKills: 1 }).cause, 'runner_gone');
    assert.match(end(exit, { oomKills: 1 }).detail, /want of memory/);
    assert.equal(end(exit, { oomKills: 1, killedByUs: true }).cause, 'killed');
  }
  assert.equal(end({ code: 0, signal: null }, { killedByUs: true }).cause, 'killed');
});
