/**
 * Programs of tests under an inventory of the whole machine (tools/inventory.mjs), which knows no name of ours:
 * what is there before, what is there after, and nothing may have come. It tells whose a thing is by a mark that
 * only what the program starts has, so the work that is looked at is a program, never the test's own process.
 * Directories that a program was given and whose removal is not its own are `--ignore`d.
 */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';

export const INVENTORY = fileURLToPath(new URL('../../tools/inventory.mjs', import.meta.url));
/** The inventory's exit code where the program succeeded and something stayed. */
export const EXIT_SOMETHING_STAYED = 4;
export const NOTHING_STAYED = /^inventory: the machine is as it was before$/m;
const VERDICT = /^inventory: /m;

export type Ran = { code: number | null; output: string };
export type Watched = Ran & { report: string };

/** Runs a program of ours, whose errors are the test's. */
export async function runProgram(argv: readonly string[]): Promise<Ran> {
  // Not of this run of tests: what its files share would be kept, and their reports are for their runner only.
  const { ONEJOB_TEST_SHARED_DIR: _, NODE_TEST_CONTEXT: __, ...environment } = process.env;
  const child = spawn(process.execPath, argv, {
    stdio: ['ignore', 'pipe', 'inherit'],
    // Compiled code would be a file that stays.
    env: { ...environment, NODE_DISABLE_COMPILE_CACHE: '1' },
  });
  const [output, [code]] = await Promise.all([text(child.stdout), once(child, 'exit')]);
  return { code: code as number | null, output };
}

/** The same under the inventory, with flags for it. */
export async function runWatched(
  argv: readonly string[],
  flags: readonly string[] = [],
): Promise<Watched> {
  const { code, output } = await runProgram([INVENTORY, ...flags, '--', process.execPath, ...argv]);
  const at = output.search(VERDICT);
  assert.ok(at >= 0, `the inventory was to give its verdict; all that was said: ${output}`);
  return { code, output: output.slice(0, at), report: output.slice(at) };
}

export function assertNothingStayed({ code, output, report }: Watched): void {
  assert.match(report, NOTHING_STAYED, output + report);
  assert.equal(code, 0, output);
}

/** A program of tests (node:test): each passes, and of all of them nothing stays. */
export async function assertTestsLeaveNothing(path: string): Promise<void> {
  const watched = await runWatched(['--test-reporter=tap', path]);
  assertNothingStayed(watched);
  assert.match(watched.output, /^# pass [1-9]/m, 'a program without tests shows nothing');
  assert.match(watched.output, /^# skipped 0$/m, watched.output);
}
