import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { ASPECTS, type Aspect } from './attack.ts';
import { findMonitors, lookAt } from './monitor.ts';

const SANDBOX = 'sb00000000000000aa';
const children: ChildProcess[] = [];
after(() => {
  // Groups: a shell's child goes with it.
  for (const { pid } of children) if (pid !== undefined) process.kill(-pid, 'SIGKILL');
});
const isRoot = process.getuid?.() === 0;

const look = (pid: number) => ({
  pid,
  sandboxId: SANDBOX,
  dataDirectory: '/nowhere',
  values: new Map([['agent', 'prove-agent-1234']]),
});
const statusOf = (pid: number): string => {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return '';
  }
};
const outcome = (aspect: Aspect, pid: number): string => lookAt(aspect, look(pid)).outcome;

/** Starts a program that says a word when it runs, and stays. */
async function start(
  words: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<number> {
  const [command = '', ...args] = words;
  const child = spawn(command, [...args, 'perl', '-e', '$| = 1; print "here"; sleep 600'], {
    env: { PATH: process.env['PATH'], ...environment },
    stdio: ['ignore', 'pipe', 'inherit'],
    detached: true,
  });
  children.push(child);
  await once(child.stdout, 'data');
  return child.pid ?? 0;
}

test('a process like the looking one is confined in no way', async () => {
  const pid = await start(['env'], { VALUE: 'prove-agent-1234' });
  const unlike = new Set(['calls', 'privileges', 'capabilities', 'files', 'descriptors']);
  for (const aspect of ASPECTS.filter((one) => !unlike.has(one))) {
    assert.equal(outcome(aspect, pid), 'through', aspect);
  }
});

test('each thing that holds a process is seen', async (t) => {
  if (!isRoot) return t.skip('another user and namespaces need root');
  const namespaces = ['unshare', '--net', '--ipc', '--'];
  const user = ['setpriv', '--reuid=12345', '--regid=12345', '--clear-groups'];
  const rights = ['--inh-caps=-all', '--bounding-set=-all', '--no-new-privs', '--'];
  const pid = await start([...namespaces, ...user, ...rights]);
  for (const aspect of [
    ...(['user', 'capabilities', 'privileges', 'network', 'memory', 'environment'] as const),
  ]) {
    assert.equal(outcome(aspect, pid), 'stopped', aspect);
  }
  assert.equal(outcome('processes', pid), 'through');
  assert.equal(outcome('limits', pid), 'through');
  // A user of its own is not enough where it keeps the group of root.
  const group = await start(['setpriv', '--reuid=12345', '--keep-groups', '--']);
  assert.equal(outcome('user', group), 'through');
});

test('a process that has ended is not held by that: it was not looked at', async () => {
  const pid = await start(['env']);
  assert.equal(outcome('user', pid), 'through');
  process.kill(pid, 'SIGKILL');
  // Until it is waited for, and once it is gone.
  while (/^State:\s+[^Z]/m.test(statusOf(pid))) await sleep(10);
  for (const aspect of ASPECTS) assert.equal(outcome(aspect, pid), 'not tried', aspect);
  while (statusOf(pid) !== '') await sleep(10);
  for (const aspect of ASPECTS) assert.equal(outcome(aspect, pid), 'not tried', aspect);
  children.pop();
});

test('what a sandbox runs in is found below its starters, and its children are not', async () => {
  const environment = { ONEJOB_SANDBOX: SANDBOX };
  const pid = await start(['sh', '-c', '"$@"; true', 'sh'], environment);
  const [monitor] = findMonitors(SANDBOX);
  assert.notEqual(monitor, undefined);
  assert.notEqual(monitor, pid, 'the shell is a starter');
  assert.deepEqual(findMonitors('sb00000000000000bb'), []);
});

test("a sandbox of gVisor's is looked at where its kernel is, which keeps no name of it in its environment", async () => {
  await start(['env'], { ONEJOB_SANDBOX: SANDBOX });
  const named = ['bash', '-c', `exec -a runsc-sandbox "$0" "$@" ${SANDBOX}`];
  const kernel = await start(named);
  assert.deepEqual(findMonitors(SANDBOX), [kernel]);
});
