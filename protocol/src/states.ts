/**
 * The life of a job, as one table. The table drives the SQL guard of the control plane, what the
 * command line prints, and the diagram in ARCHITECTURE.md.
 *
 *     waiting -> queued -> offered -> leased -> starting -> running -> finished
 *                  ^----------'----------'----------'   (edges back: nothing was adopted yet)
 *     any state but finished -> finished                (cancel, skip, refusal, loss)
 *
 * `starting` is a sandbox being provisioned; `running` begins with the adoption, the one
 * compare-and-swap after which a job can never run a second time in the same attempt.
 */
export const JOB_STATES = [
  'waiting',
  'queued',
  'offered',
  'leased',
  'starting',
  'running',
  'finished',
] as const;
export type JobState = (typeof JOB_STATES)[number];

/** Every allowed move. A move that is not here is refused by the store, whoever asks. */
export const JOB_TRANSITIONS: Readonly<Record<JobState, readonly JobState[]>> = {
  waiting: ['queued', 'finished'],
  queued: ['waiting', 'offered', 'finished'],
  offered: ['queued', 'leased', 'finished'],
  leased: ['queued', 'starting', 'finished'],
  starting: ['queued', 'running', 'finished'],
  running: ['finished'],
  finished: [],
};

export const canTransition = (from: JobState, to: JobState): boolean =>
  JOB_TRANSITIONS[from].includes(to);

export const CONCLUSIONS = [
  'success',
  'failure',
  'cancelled',
  'skipped',
  'timed_out',
  'refused',
  'lost',
] as const;
export type Conclusion = (typeof CONCLUSIONS)[number];

/** What a step or the job's own code can conclude with; the rest is the platform's to say. */
export const STEP_CONCLUSIONS = ['success', 'failure', 'cancelled', 'skipped'] as const;
export type StepConclusion = (typeof STEP_CONCLUSIONS)[number];

/** Why a job waits: exactly one at a time. */
export const WAITING_REASONS = [
  'needs',
  'approval',
  'concurrency_group',
  'tenant_concurrency',
  'tenant_rate',
  'global_concurrency',
  'max_parallel',
  'no_host_for_label',
  'no_capacity',
  'image_preparing',
  'forge_rate_limit',
] as const;
export type WaitingReason = (typeof WAITING_REASONS)[number];

/**
 * Which hosts a platform has. `open`: they come and go, so a job that none can take waits for one
 * that can. `closed`: the one it was started with, so such a job is refused. `none`: it was opened
 * to be asked, not to run anything, and is closed again in a moment; it takes no runs.
 */
export const FLEETS = ['open', 'closed', 'none'] as const;
export type Fleet = (typeof FLEETS)[number];

/**
 * Why a job ended, as it was observed. `blame` keeps platform failure and job failure apart: a
 * job's own doing is never shown as ours, and the other way round.
 */
export const END_REASONS = {
  steps_completed: { conclusion: 'success', blame: 'nobody' },
  step_failed: { conclusion: 'failure', blame: 'job' },
  invalid_expression: { conclusion: 'failure', blame: 'job' },
  out_of_memory: { conclusion: 'failure', blame: 'job' },
  disk_full: { conclusion: 'failure', blame: 'job' },
  runner_killed: { conclusion: 'failure', blame: 'job' },
  protocol_violation: { conclusion: 'failure', blame: 'job' },
  deadline: { conclusion: 'timed_out', blame: 'job' },
  cancelled: { conclusion: 'cancelled', blame: 'nobody' },
  fail_fast: { conclusion: 'cancelled', blame: 'nobody' },
  superseded: { conclusion: 'cancelled', blame: 'nobody' },
  concurrency_deadlock: { conclusion: 'cancelled', blame: 'job' },
  needs_not_met: { conclusion: 'skipped', blame: 'nobody' },
  condition_false: { conclusion: 'skipped', blame: 'nobody' },
  unsupported: { conclusion: 'refused', blame: 'job' },
  no_host: { conclusion: 'refused', blame: 'job' },
  runner_minute_cap: { conclusion: 'cancelled', blame: 'nobody' },
  vmm_died: { conclusion: 'lost', blame: 'platform' },
  agent_died: { conclusion: 'lost', blame: 'platform' },
  lease_expired: { conclusion: 'lost', blame: 'platform' },
  boot_failed: { conclusion: 'lost', blame: 'platform' },
  platform_error: { conclusion: 'lost', blame: 'platform' },
} as const satisfies Record<
  string,
  { conclusion: Conclusion; blame: 'job' | 'platform' | 'nobody' }
>;
export type EndReason = keyof typeof END_REASONS;
export const END_REASON_NAMES = Object.keys(END_REASONS) as EndReason[];
