import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempDisposableSync, readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

/** Runs a shell script under the inventory with a home directory of its own, the only one looked at. */
function watch(script: string) {
  using home = mkdtempDisposableSync(path.join(os.tmpdir(), 'onejob-inventory-test-'));
  const inventory = path.join(import.meta.dirname, 'inventory.mjs');
  const { status, stdout } = spawnSync(
    process.execPath,
    [inventory, '--below', home.path, '--settle', '500', '--', 'bash', '-c', script],
    { encoding: 'utf8', env: { ...process.env, HOME: home.path, INVENTORY_IGNORE: '' } },
  );
  return { status, ofHome: stdout.replaceAll(home.path, '~'), stdout };
}

/** Waits until the process is gone or a zombie (then only its parent has yet to notice). */
async function waitUntilEnded(pid: number): Promise<void> {
  const isAlive = (): boolean => {
    try {
      return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, 'utf8'));
    } catch {
      return false;
    }
  };
  while (isAlive()) await sleep(20);
}

test('a file that stayed is named', () => {
  const { status, ofHome } = watch('touch ~/a');
  assert.equal(status, 4);
  assert.match(ofHome, /files: \+ ~\/a \(0 bytes/);
});

test('a process that got away is named and ended, though its parent, session and environment are gone', async () => {
  const { status, stdout } = watch('env -i setsid sleep 986 </dev/null >/dev/null 2>&1 & exit 0');
  assert.equal(status, 4);
  const pid = Number(/processes: \+ (\d+) sleep 986/.exec(stdout)?.[1]);
  assert.ok(pid > 0, stdout);
  await waitUntilEnded(pid);
});

test("the command's own failure keeps its exit code", () => {
  assert.equal(watch('exit 7').status, 7);
});
