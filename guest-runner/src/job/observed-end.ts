/**
 * Why a step failed, as the machine shows it: memory that ran out, a disk that is full, or simply
 * the step. Exit codes say none of this.
 */
import { readFileSync, statfsSync } from 'node:fs';
import { DISK_FULL_BYTES, FILE_SYSTEM_RESERVE_BYTES } from '../limits.ts';

export type StepFailureReason = 'step_failed' | 'out_of_memory' | 'disk_full';

/** Processes this kernel has killed for memory since it started; 0 where that is not told. */
export function countMemoryKills(): number {
  try {
    return Number(/^oom_kill (\d+)$/m.exec(readFileSync('/proc/vmstat', 'latin1'))?.[1] ?? 0);
  } catch {
    return 0;
  }
}

function isFull(path: string): boolean {
  try {
    const stat = statfsSync(path);
    if (stat.blocks === 0) return false;
    // What is available excludes what root may still use, what is free includes what nobody may.
    const isOutOfBlocks =
      stat.bavail * stat.bsize < DISK_FULL_BYTES &&
      (process.getuid?.() !== 0 || stat.bfree * stat.bsize < FILE_SYSTEM_RESERVE_BYTES);
    return isOutOfBlocks || (stat.files > 0 && stat.ffree === 0);
  } catch {
    return false;
  }
}

/**
 * @param memoryKillsBefore `countMemoryKills` at the step's start; null where the kernel is shared
 *   with others, whose deaths would count
 */
export function observeFailure(
  memoryKillsBefore: number | null,
  directories: string[],
): StepFailureReason {
  if (memoryKillsBefore !== null && countMemoryKills() > memoryKillsBefore) return 'out_of_memory';
  return directories.some(isFull) ? 'disk_full' : 'step_failed';
}

export const FAILURE_SENTENCES: Record<StepFailureReason, string> = {
  step_failed: '',
  out_of_memory:
    'The memory of this machine ran out and the kernel killed a process of this step. ' +
    'Use less memory, or a larger shape.',
  disk_full: 'The disk of this machine is full. Write less, or use a larger shape.',
};
