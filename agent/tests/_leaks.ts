/**
 * After each test of a file: what the test opened is closed again. Looks at this process's handles,
 * at its descendants and at a directory, and gives the event loop a moment to let go of them.
 */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { afterEach, beforeEach } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';

const PATIENCE_MS = 5_000;
const POLL_MS = 10;

/** Call once in a test file, below its own hooks: what they close must be closed by then. */
export function checkLeaksAfterEach(): void {
  let before: string[] = [];
  beforeEach(() => {
    before = openThings();
  });
  afterEach(async () => {
    await assertNothingNew(before);
  });
}

async function assertNothingNew(before: readonly string[]): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const left = openThings();
    for (const known of before) {
      const at = left.indexOf(known);
      if (at >= 0) left.splice(at, 1);
    }
    if (left.length === 0) return;
    if (performance.now() > deadline) assert.deepEqual(left, [], 'left open by this test');
    await sleep(POLL_MS);
  }
}

/** Handles of this process and its descendants, with repetitions. */
function openThings(): string[] {
  const handles = process
    .getActiveResourcesInfo()
    .filter((kind) => /Pipe|Socket|Server|Process|FSEvent/.test(kind));
  return [...handles, ...descendants().map((one) => `process ${one}`)];
}

function descendants(): string[] {
  const children = new Map<number, { pid: number; name: string }[]>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (state === 'Z') continue;
      const command = stat.slice(stat.indexOf('('), stat.lastIndexOf(')') + 1);
      const siblings = children.get(Number(parent)) ?? [];
      siblings.push({ pid: Number(name), name: command });
      children.set(Number(parent), siblings);
    } catch {
      // ended meanwhile
    }
  }
  const below = (pid: number): string[] =>
    (children.get(pid) ?? []).flatMap((one) => [`${one.pid} ${one.name}`, ...below(one.pid)]);
  return below(process.pid);
}

/** Every file below a directory; empty where it does not exist. */
export function filesBelow(directory: string): string[] {
  try {
    return readdirSync(directory, { recursive: true, encoding: 'utf8' });
  } catch {
    return [];
  }
}
