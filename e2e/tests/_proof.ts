/** Proofs by the real command line, read back from their signed reports. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { verifyReport, type Report } from '@onejob/prove';
import type { CommandLine, Ended, Place } from './_command-line.ts';
import { changesSince, hostSettings } from './_host-settings.ts';

/** A proof of everything takes minutes in emulated machines. */
const HANG_MS = 900_000;

export type Proved = Ended & {
  report: Report;
  fingerprint: string;
  /** Of the host's devices and settings, a line each. */
  changes: readonly string[];
};

/** Runs `onejob prove ... --json`, checks the signature, and that nothing of it is on the host. */
export async function proveWith(
  line: CommandLine,
  words: readonly string[],
  place: Place = {},
): Promise<Proved> {
  const before = leftovers();
  const settings = hostSettings();
  const ended = await line.run(['prove', ...words, '--json'], { ...place, hangMs: HANG_MS });
  assert.ok(ended.stdout.startsWith('{'), ended.stdout + ended.stderr);
  assert.deepEqual(leftovers(), before, 'left on the host');
  const changes = changesSince(settings);
  assert.deepEqual(changes, [], 'changed on the host');
  return { ...ended, ...verifyReport(ended.stdout), changes };
}

const MOST_LISTINGS = 100;

/** Places on the host that only the proof's own root may have changed, and groups that jobs had. */
function leftovers(): string[] {
  return [
    ...['/opt/onejob-prove', '/dev/shm/onejob-prove', '/tmp/onejob-prove-left'].filter(existsSync),
    ...controlGroups().filter((name) => name.includes('onejob-prove')),
  ];
}

/** Again while groups of other tests go as they are listed. */
function controlGroups(): string[] {
  if (!existsSync('/sys/fs/cgroup')) return [];
  for (let tries = 0; ; tries += 1) {
    try {
      return readdirSync('/sys/fs/cgroup', { recursive: true }).map(String);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT' || tries === MOST_LISTINGS)
        throw error;
    }
  }
}

/** For failures: each finding in a line. */
export const tellFindings = ({ findings }: Report): string =>
  findings
    .map(
      ({ id, verdict, observed, control }) =>
        `${verdict}: ${id}: ${observed} | ${control.outcome}: ${control.observed}`,
    )
    .join('\n');
