/** The leash of a PID namespace, on a real tree of processes that do what they can to escape. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { checkLeaksAfterEach } from '../../tests/_leaks.ts';
import { pidNamespacePrefix } from './pid-namespace.ts';

checkLeaksAfterEach();

/** The user with the fewest rights, for who has others. */
const NOBODY = { uid: 65_534, gid: 65_534 };
const isRoot = process.getuid?.() === 0;

/** Processes that have this word among their arguments. */
const named = (word: string): number =>
  readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(word);
    } catch {
      return false;
    }
  }).length;

/** Starts a tree that tries to get away, kills its first process, and waits until all are gone. */
async function killTree(prefix: readonly string[], as: { uid?: number; gid?: number }) {
  const word = `10${randomBytes(6).readUIntBE(0, 6)}`;
  const script = `env -i setsid sleep ${word} & (env -i setsid sh -c 'sleep ${word} & sleep ${word}' &) ; wait`;
  const [command, ...args] = [...prefix, 'sh', '-c', script];
  const child = spawn(command, args, { ...as, cwd: '/', stdio: 'ignore' });
  const exited = once(child, 'exit');
  for (const deadline = performance.now() + 10_000; named(word) < 5; await sleep(5)) {
    assert.ok(performance.now() < deadline, `only ${named(word)} processes came up`);
  }
  child.kill('SIGKILL');
  await exited;
  for (const deadline = performance.now() + 10_000; named(word) > 0; await sleep(5)) {
    assert.ok(performance.now() < deadline, `${named(word)} processes escaped`);
  }
}

for (const [who, as] of [
  ['this user', {}],
  ['a user without rights', isRoot ? NOBODY : {}],
] as const) {
  test(`${who}: killing the first process kills detached, twice forked and marker-less descendants`, async (context) => {
    const prefix = await pidNamespacePrefix(as);
    if (prefix.length === 0) return context.skip('this host refuses PID namespaces');
    await killTree(prefix, as);
  });
}

test('a user without rights gets the leash by a user namespace, where the host has them', async (context) => {
  const allowed = spawnSync('unshare', ['--user', '--pid', '--fork', 'true'], {
    ...(isRoot ? NOBODY : {}),
    cwd: '/',
  });
  if (allowed.status !== 0) return context.skip(allowed.stderr.toString('utf8'));
  assert.ok((await pidNamespacePrefix(isRoot ? NOBODY : {})).includes('--kill-child=KILL'));
});
