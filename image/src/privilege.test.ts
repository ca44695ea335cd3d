import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtempDisposable, open, readdir, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite, test } from 'node:test';
import { asRoot, currentPrivilege, removeTree } from './privilege.ts';
import { makeRunTool } from './tool.ts';

const HOLD_MOUNTS = `
  mkdir -p "$1/mounted"
  touch "$1/file"
  mount -t tmpfs tmpfs "$1/mounted"
  tail -f "$1/file" &
  tail -f "$1/file" &
  echo mounted
  wait`;

async function processesNaming(path: string): Promise<number> {
  let count = 0;
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const line = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    if (line.includes(path)) count += 1;
  }
  return count;
}

suite('a step that acts as root', () => {
  test('shows its mounts to nobody, and dies whole with the process that started it', async () => {
    await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-root-'));
    const mark = join(scratch.path, 'work');
    const script = `
      import { asRoot } from ${JSON.stringify(join(import.meta.dirname, 'privilege.ts'))};
      import { makeRunTool } from ${JSON.stringify(join(import.meta.dirname, 'tool.ts'))};
      import { openSync } from 'node:fs';
      const lockFd = openSync(${JSON.stringify(join(scratch.path, 'lock'))}, 'a');
      const run = makeRunTool({ logPath: ${JSON.stringify(join(scratch.path, 'log'))}, lockFd, signal: undefined });
      const command = asRoot('${currentPrivilege()}', ['sh', '-euc', ${JSON.stringify(HOLD_MOUNTS)}, 'sh', ${JSON.stringify(mark)}]);
      await run({ step: 'base', command, onLine: (line) => console.log(line) });`;
    await writeFile(join(scratch.path, 'builder.mjs'), script);
    const builder = spawn(process.execPath, [join(scratch.path, 'builder.mjs')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [said] = (await once(builder.stdout, 'data')) as [Buffer];
    assert.equal(said.toString(), 'mounted\n');
    assert.ok((await processesNaming(mark)) >= 2);
    assert.doesNotMatch(await readFile('/proc/self/mountinfo', 'utf8'), new RegExp(mark));
    builder.kill('SIGKILL');
    await once(builder, 'exit');
    for (let tries = 0; (await processesNaming(mark)) > 0 && tries < 500; tries++) await sleep(10);
    assert.equal(await processesNaming(mark), 0);
  });

  test('removes a tree whole, and nothing that is mounted in it', async () => {
    await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-root-'));
    await using lock = await open(join(scratch.path, 'lock'), 'a');
    const setting = { logPath: join(scratch.path, 'log'), lockFd: lock.fd, signal: undefined };
    const run = makeRunTool(setting);
    const privilege = currentPrivilege();
    const tree = join(scratch.path, 'tree');
    await mkdir(join(tree, 'deep/inside'), { recursive: true });
    // the removal of a leaked mount, all in one namespace so that the mount cannot outlive the test
    const [first, ...rest] = await commandOf((command) => removeTree(privilege, command, tree));
    const inside = 'mount -t tmpfs tmpfs "$1"; echo keep >"$1/file"; shift; "$@" || true; cat "$0"';
    const file = join(tree, 'deep/inside/file');
    const script = ['sh', '-uc', inside, file, join(tree, 'deep/inside'), first, ...rest] as const;
    assert.match(await run({ step: 'test', command: asRoot(privilege, script) }), /^keep$/m);

    await removeTree(privilege, run, tree);
    assert.deepEqual((await readdir(scratch.path)).toSorted(), ['lock', 'log']);
  });
});

/** The command that `act` would run. */
async function commandOf(
  act: (run: ReturnType<typeof makeRunTool>) => Promise<void>,
): Promise<readonly [string, ...string[]]> {
  let seen: readonly [string, ...string[]] = ['false'];
  await act(({ command }) => {
    seen = command;
    return Promise.resolve('');
  });
  return seen;
}
