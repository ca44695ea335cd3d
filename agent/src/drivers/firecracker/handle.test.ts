/** Who is to blame for the end of a machine of Firecracker's, from what was seen of it. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { explainEnd } from './handle.ts';

type Seen = Parameters<typeof explainEnd>[0];
const end = (exit: Seen['exit'], more: Partial<Seen> = {}) =>
  explainEnd({ exit, killedByUs: false, oomKills: 0, output: '', ...more });
const status = (code: number): Seen['exit'] => ({ code, signal: null });

test('a guest that ended, a Firecracker that failed and we are told apart', () => {
  assert.deepEqual(end(status(0), { output: ' last words\n' }), {
    cause: 'runner_gone',
    detail: 'the guest ended its machine (Firecracker exit status 0); Firecracker said: last words',
  });
  for (const [exit, how] of [
    [status(1), 'exit status 1'],
    [status(148), 'exit status 148'],
    [status(153), 'exit status 153'],
    [status(137), 'signal 9'],
    [{ code: null, signal: 'SIGSEGV' }, 'signal SIGSEGV'],
  ] as const) {
    assert.deepEqual(end(exit), { cause: 'vmm_died', detail: `Firecracker ended with ${how}` });
    assert.equal(end(exit, { killedByUs: true }).cause, 'killed');
  }
});

test('only what was killed is said to be killed for want of memory', () => {
  for (const exit of [status(137), { code: null, signal: 'SIGKILL' }] as const) {
    assert.match(end(exit, { oomKills: 1 }).detail, /no memory left for Firecracker itself/);
  }
  assert.doesNotMatch(end(status(1), { oomKills: 1 }).detail, /memory/);
});
