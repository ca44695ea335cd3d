/** What a tool can do that a stranger has taken over: little, and nothing afterwards. */
import assert from 'node:assert/strict';
import { chownSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { runBounded, tryConfinement, type ToolBounds } from './bounded-tool.ts';
import type { ToolResult } from './short-tool.ts';

const confinement = await tryConfinement();

async function runScript(script: string, changes: Partial<ToolBounds> = {}): Promise<ToolResult> {
  const root = mkdtempSync(join(tmpdir(), 'onejob-bounded-'));
  try {
    const directory = join(root, 'own');
    mkdirSync(directory);
    if (confinement.user !== undefined) chownSync(directory, confinement.user, confinement.user);
    return await runBounded('/bin/sh', ['-c', script], {
      confinement,
      directory,
      environment: { KNOWN: 'yes' },
      fileBytes: 1_000_000,
      memoryBytes: 1_000_000_000,
      timeoutMs: 30_000,
      signal: new AbortController().signal,
      ...changes,
    });
  } finally {
    rmSync(root, { recursive: true });
  }
}

const commandsOf = (word: string): string[] =>
  readdirSync('/proc').filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(word);
    } catch {
      return false;
    }
  });

test('it is nobody where we are root, keeps no privileges, and sees its own environment only', async () => {
  const { exitCode, standardOutput } = await runScript(
    'id -u; id -G; grep NoNewPrivs /proc/self/status; echo $KNOWN $HOME; echo x > own',
  );
  assert.equal(exitCode, 0);
  const [user, groups, privileges, environment] = standardOutput.split('\n');
  const isRoot = process.getuid?.() === 0;
  assert.equal(Number(user), isRoot ? 65_534 : process.getuid?.());
  if (isRoot) assert.equal(groups, '65534');
  assert.match(privileges ?? '', /NoNewPrivs:\s+1/);
  assert.equal(environment, 'yes');
});

const mounts = (): string[] =>
  readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .filter((line) => line.includes(' /mnt '));

const skip = confinement.namespace.length === 0 && 'this host allows no PID namespace';
test('what it leaves is gone when it has ended: processes and mounts', { skip }, async () => {
  const before = mounts();
  const { exitCode } = await runScript('setsid sleep 286.5 > /dev/null 2>&1 & sleep 0.2');
  assert.equal(exitCode, 0);
  assert.deepEqual(commandsOf('286.5'), []);
  assert.deepEqual(mounts(), before);
});

test('it ends by its time and by our signal, with all that it started', async () => {
  const late = await runScript('sleep 287.5 & sleep 287.5', { timeoutMs: 300 });
  assert.ok(late.timedOut);
  const signal = AbortSignal.timeout(300);
  await assert.rejects(runScript('sleep 287.5 & sleep 287.5', { signal }), /TimeoutError|timeout/);
  assert.deepEqual(commandsOf('287.5'), []);
});

test('files and memory have their limits', async () => {
  const large = await runScript('head -c 2000000 /dev/zero > large; stat -c %s large');
  assert.equal(large.standardOutput.trim(), '1000000');
  const hungry = await runScript('head -c 2000000000 /dev/zero | tail -c 1999999999 | wc -c', {
    memoryBytes: 100_000_000,
  });
  assert.notEqual(hungry.standardOutput.trim(), '1999999999');
});

test('a tool that is not there is told apart from one that fails', async () => {
  const gone = await runBounded('/nonexistent/tool', [], {
    confinement,
    directory: tmpdir(),
    environment: {},
    fileBytes: 1,
    memoryBytes: 1_000_000_000,
    timeoutMs: 10_000,
    signal: new AbortController().signal,
  });
  assert.equal(gone.exitCode, 127);
  assert.equal((await runScript('exit 3')).exitCode, 3);
});
