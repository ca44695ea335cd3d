/**
 * Why did this job end? Decided from what was observed, in one pure function, so that a platform's
 * failure is never told as the job's and no exit code is trusted alone.
 */
import { MaskingError } from '@onejob/masking';
import type { EndReason, FinishedMessage } from '@onejob/protocol';
import { AgentError } from '../errors.ts';
import type { MachineEnd } from '../sandbox/driver.ts';

export type Observed = {
  /** What the guest runner said last; it is believed on the job's own doing only. */
  finished: FinishedMessage | undefined;
  /** The guest broke the protocol. */
  violation: string | undefined;
  /** We asked it to stop, and why. */
  asked: 'cancelled' | 'fail_fast' | 'deadline' | undefined;
  machine: MachineEnd | undefined;
  /** The link went while the machine lived. */
  linkClosed: string | undefined;
  /** What the host could not give the job, though it should. */
  hostFailure: string | undefined;
  oomKills: number;
  /** The host had no room for the job's own disk. */
  isHostDiskFull: boolean;
};

export function endReason(observed: Observed): { reason: EndReason; message: string } {
  const { finished, asked, machine } = observed;
  if (finished !== undefined) {
    const mayBeDisk = finished.reason === 'step_failed' || finished.reason === 'disk_full';
    if (mayBeDisk && observed.isHostDiskFull) {
      return { reason: 'platform_error', message: `${HOST_DISK_FULL} ${finished.message}` };
    }
    if (finished.reason === 'step_failed' && observed.hostFailure !== undefined) {
      return {
        reason: 'platform_error',
        message: `${observed.hostFailure} ${finished.message}`,
      };
    }
    if (finished.reason === 'step_failed' && observed.oomKills > 0) {
      return { reason: 'out_of_memory', message: `${outOfMemory(observed)} ${finished.message}` };
    }
    if (finished.reason === 'cancelled') return cancelled(finished.message, asked);
    return { reason: finished.reason, message: finished.message };
  }
  if (observed.violation !== undefined) {
    return { reason: 'protocol_violation', message: observed.violation };
  }
  if (asked !== undefined) return { reason: asked, message: ASKED_MESSAGES[asked] };
  if (machine?.cause === 'vmm_died') {
    return {
      reason: 'vmm_died',
      message: `The machine monitor died (${machine.detail}). This is the platform's failure, not the job's; run the job again.`,
    };
  }
  if (observed.oomKills > 0) return { reason: 'out_of_memory', message: outOfMemory(observed) };
  const detail = machine?.detail ?? observed.linkClosed ?? 'no reason was seen';
  return {
    reason: 'runner_killed',
    message: `The guest runner went away while the job ran: ${detail}. Something in the job killed it or shut the machine down.`,
  };
}

/** Only who was asked to stop was cancelled: that conclusion blames nobody. */
function cancelled(
  message: string,
  asked: Observed['asked'],
): { reason: EndReason; message: string } {
  if (asked !== undefined) return { reason: asked, message };
  return {
    reason: 'protocol_violation',
    message: `The guest runner says that it was cancelled, but nobody asked it to: ${message}`,
  };
}

/** The job itself is refused, not begun: another lease of it here would end the same way. */
export function refusalOf(failure: unknown): { reason: EndReason; message: string } | undefined {
  if (failure instanceof AgentError && failure.code === 'job_refused') {
    return { reason: 'unsupported', message: failure.message };
  }
  if (!(failure instanceof MaskingError)) return undefined;
  // A job's secrets are its own input, and would be shown.
  const message =
    `The secrets of this job cannot be masked, so it was not started. ${failure.message} ` +
    'Then run the job again.';
  return { reason: 'unsupported', message };
}

const ASKED_MESSAGES = {
  cancelled: 'The job was cancelled and did not stop by itself; its machine was killed.',
  fail_fast: 'Another job of the matrix failed (fail-fast); this one was killed.',
  deadline: 'The job ran longer than its time limit (timeout-minutes); its machine was killed.',
} as const;

const HOST_DISK_FULL =
  "The host's disk is full, so the job could not write to its own. This is the platform's failure, " +
  "not the job's: free some space on the host and run the job again.";

const outOfMemory = (observed: Observed): string =>
  `The machine ran out of memory (its kernel killed ${observed.oomKills} process${observed.oomKills === 1 ? '' : 'es'}).`;
