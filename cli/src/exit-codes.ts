/** What the process ends with; documented in the README and in `onejob --help`. */
export const EXIT = {
  success: 0,
  /** A job failed, timed out or was refused. */
  jobFailed: 1,
  /** Wrong flags or arguments, or they name what is not there: a job, a matrix value, an input. */
  usage: 2,
  /** The input cannot be run: workflow errors, no checkout, nothing triggered. */
  invalidInput: 3,
  /** The platform failed: a job was lost, nothing could be started. Not the job's fault. */
  platform: 4,
  /** Cancelled, here with Ctrl-C (130 is what shells say of SIGINT) or by somebody else. */
  cancelled: 130,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
