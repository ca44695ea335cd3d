import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtempDisposable, open, readFile, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { suite, test } from 'node:test';
import { ImageError } from './errors.ts';
import { makeRunTool, requireTools, startLog, type RunTool } from './tool.ts';

interface Bench extends AsyncDisposable {
  run: RunTool;
  logPath: string;
}

async function bench(signal?: AbortSignal): Promise<Bench> {
  const scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-tool-'));
  const logPath = join(scratch.path, 'log');
  const lock = await open(join(scratch.path, 'lock'), 'a');
  const dispose = async (): Promise<void> => {
    await lock.close();
    await scratch.remove();
  };
  const run = makeRunTool({ logPath, lockFd: lock.fd, signal });
  return { run, logPath, [Symbol.asyncDispose]: dispose };
}

function hasCode(code: string, pattern: RegExp): (error: unknown) => boolean {
  return (error) => {
    assert.ok(error instanceof ImageError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, pattern);
    return true;
  };
}

suite('a tool of the build', () => {
  test('returns its standard output; everything it says is in the log', async () => {
    await using at = await bench();
    const lines: string[] = [];
    const output = await at.run({
      step: 'base',
      command: ['sh', '-c', 'echo one; echo two >&2; printf three'],
      onLine: (line) => lines.push(line),
    });
    assert.equal(output, 'one\nthree');
    assert.deepEqual(lines.toSorted(), ['one', 'three', 'two']);
    assert.match(await readFile(at.logPath, 'utf8'), /\[base\] sh -c[^]*two/);
  });

  test('keeps what it leaves when it is killed where it is told to, and not in the system’s place', async () => {
    await using at = await bench();
    const command = ['sh', '-c', 'printf "$TMPDIR"; mktemp -u'] as const;
    const [place, name] = [join(at.logPath, '..'), 'tmp.'];
    const said = await at.run({ step: 'root', command, temporaryDirectory: place });
    assert.ok(said.startsWith(`${place}${place}/${name}`), said);
  });

  test('fails with its step, its last lines and the place of the log', async () => {
    await using at = await bench();
    // the complaint comes first: whatever is printed after it must not push it out
    const script = 'echo broken >&2; sleep 0.2; seq 100; exit 9';
    const command = ['sh', '-c', script] as const;
    const expected =
      /step root: sh ended with 9; .*\n[^]*\b100\b[^]*the whole output is in \/.*log$/;
    await assert.rejects(
      at.run({ step: 'root', command }),
      hasCode('image_build_failed', expected),
    );
    const short = await at.run({ step: 'root', command }).catch((error: Error) => error.message);
    assert.doesNotMatch(short, /^5$/m, 'early lines are not repeated');
    assert.match(short, /^broken$/m);
  });

  test('with secret output has it in no log and in no error', async () => {
    await using at = await bench();
    const script = 'echo pass-word; echo said >&2; exit "$0"';
    const run = async (status: string): Promise<string> =>
      await at.run({
        step: 'resolve',
        command: ['sh', '-c', script, status],
        isOutputSecret: true,
      });
    assert.equal(await run('0'), 'pass-word\n');
    const failure = await run('3').catch((error: Error) => error.message);
    assert.match(failure, /sh ended with 3; .*\nsaid\n/);
    assert.doesNotMatch(failure, /^pass-word/m);
    assert.doesNotMatch(await readFile(at.logPath, 'utf8'), /^pass-word/m);
  });

  test('that runs out of space is told apart from one that fails', async () => {
    await using at = await bench();
    const command = ['dd', 'if=/dev/zero', 'of=/dev/full', 'bs=1k', 'count=1'] as const;
    await assert.rejects(
      at.run({ step: 'root', command }),
      hasCode('image_disk_full', /no space left .* `onejob image remove`/),
    );
  });

  test('is stopped by a cancellation', async () => {
    const controller = new AbortController();
    await using at = await bench(controller.signal);
    const running = at.run({ step: 'base', command: ['sleep', '1000'] });
    await sleep(50);
    controller.abort();
    await assert.rejects(running, hasCode('image_cancelled', /was cancelled/));
  });

  test('dies with the process that started it', async () => {
    await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-tool-'));
    const pidPath = join(scratch.path, 'pid');
    const script = `
      import { makeRunTool } from ${JSON.stringify(join(import.meta.dirname, 'tool.ts'))};
      import { openSync } from 'node:fs';
      const lockFd = openSync(${JSON.stringify(join(scratch.path, 'lock'))}, 'a');
      const run = makeRunTool({ logPath: ${JSON.stringify(join(scratch.path, 'log'))}, lockFd, signal: undefined });
      const command = ['sh', '-c', 'echo $$ > "$0"; echo up; exec sleep 1000', ${JSON.stringify(pidPath)}];
      await run({ step: 'base', command, onLine: (line) => console.log(line) });`;
    const builder = spawn(process.execPath, ['--input-type=module', '--eval', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    await once(builder.stdout, 'data');
    const pid = Number(await readFile(pidPath, 'utf8'));
    builder.kill('SIGKILL');
    await once(builder, 'exit');
    const isAlive = async (): Promise<boolean> => {
      const state = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
      return state !== '' && !/\) Z /.test(state);
    };
    for (let tries = 0; (await isAlive()) && tries < 500; tries++) await sleep(10);
    assert.equal(await isAlive(), false);
  });
});

test('a log is for the user who builds, also where an earlier one was not', async () => {
  await using at = await bench();
  const mode = async (): Promise<number> => (await stat(at.logPath)).mode & 0o777;
  await at.run({ step: 'tools', command: ['true'] });
  assert.equal(await mode(), 0o600);
  await writeFile(at.logPath, 'of an earlier version');
  await chmod(at.logPath, 0o644);
  await startLog(at.logPath, 'build of today');
  assert.equal(await mode(), 0o600);
  assert.equal(await readFile(at.logPath, 'utf8'), 'build of today\n');
});

test('missing tools are named together with the line that installs them', async () => {
  await requireTools(['sh', 'tar']);
  await assert.rejects(
    requireTools(['sh', 'no-such-tool', 'other-missing-tool']),
    hasCode(
      'image_tool_missing',
      /needs no-such-tool, other-missing-tool; install with: apt-get install --no-install-recommends no-such-tool other-missing-tool$/,
    ),
  );
});
