import assert from 'node:assert/strict';
import { mkdtempDisposableSync, readFileSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Report } from './report.ts';
import { runFile } from './run-file.ts';

/** Runs `text` as a test file and answers with the result and what a report in a pipe prints of it. */
async function runText(text: string, timeoutMs = 60_000, nodeFlags: string[] = []) {
  using folder = mkdtempDisposableSync(path.join(os.tmpdir(), 'onejob-test-run-'));
  writeFileSync(path.join(folder.path, 'a.test.mjs'), `import test from 'node:test';\n${text}`);
  const { signal } = new AbortController();
  const run = await runFile('a.test.mjs', { root: folder.path, timeoutMs, nodeFlags, signal });
  let printed = '';
  const report = new Report({ write: (chunk) => (printed += chunk) }, 1);
  report.add(run);
  report.end(run.durationMs);
  return { run, printed, lastLine: printed.trimEnd().split('\n').at(-1) };
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

test('passed, failed and skipped tests are counted, nested ones too, suites not', async () => {
  const { lastLine } = await runText(`
    test.describe('suite', () => { test('one', () => {}); test.skip('two', () => {}); });
    test('three', async (t) => { await t.test('four', () => { throw new Error('no'); }); });
  `);
  assert.equal(lastLine, '1 passed, 2 failed, 1 skipped');
});

test('a failure is shown with its full name, its place and its error', async () => {
  const { printed } = await runText(
    `test.describe('outer', () => { test.describe('inner', () => {
       test('breaks', () => { console.log('a clue'); throw new Error('the reason'); });
       test('works', () => {});
     }); });`,
  );
  assert.match(printed, /FAILED {2}a\.test\.mjs:3 {2}outer > inner > breaks/);
  assert.match(printed, /Error: the reason/);
  assert.match(printed, /a clue/);
});

test('a file without a test is a failure, unless tests were picked by name', async () => {
  assert.deepEqual((await runText('')).run.problems, ['holds no test']);
  const picked = await runText("test('a', () => {});", 60_000, ['--test-name-pattern=nothing']);
  assert.deepEqual(picked.run.problems, []);
});

test('a file that crashes is a failure with its exit code', async () => {
  const { run, lastLine } = await runText("throw new Error('at import');");
  assert.deepEqual(run.problems, ['ended with exit code 1']);
  assert.match(run.output, /at import/);
  assert.equal(lastLine, '0 passed, 1 failed');
});

test('a file that hangs is ended at its limit, and what had passed still counts', async () => {
  const { run, lastLine } = await runText(
    "test('a', () => {}); test('b', () => new Promise(() => setInterval(() => {}, 1000)));",
    5_000,
  );
  assert.match(run.problems[0] ?? '', /still running after 5 s.*; in: b \(line 2\)$/);
  assert.equal(lastLine, '1 passed, 1 failed');
});

test('a process left behind is a failure, is named, and is killed', async () => {
  const { run } = await runText(`
    import { spawn } from 'node:child_process';
    test('leaks', () => { spawn('sleep', ['987'], { stdio: 'ignore' }).unref(); });
  `);
  const [problem = ''] = run.problems;
  const pid = Number(/(\d+) sleep 987/.exec(problem)?.[1]);
  assert.ok(pid > 0, problem);
  await waitUntilEnded(pid);
});
