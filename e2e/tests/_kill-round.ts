/**
 * One round of kills (_sigkill-rounds.ts) as a program, so that an inventory of the whole machine can stand
 * around it.
 */
import { runWatched, assertNothingStayed } from '@onejob/testing';
import { killAtLines, type KillRound } from './_sigkill-rounds.ts';

/** Nothing of the round may stay, by no name of ours. */
export async function assertRoundLeavesNothing(round: KillRound): Promise<void> {
  assertNothingStayed(await runWatched([import.meta.filename, JSON.stringify(round)]));
}

if (import.meta.main) await killAtLines(JSON.parse(process.argv[2] ?? '') as KillRound);
