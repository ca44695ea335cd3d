/** What the process ends with; documented in the README and in `onejob --help`. */
export const EXIT = {
  success: 0,
  /** A job failed, timed out or was refused; lint found something. */
  jobFailed: 1,
  /** Wrong flags or arguments, or a job, matrix value or input that the workflow does not have. */
  usage: 2,
  /**
   * The input cannot be run, or there is none: workflow errors, no checkout, nothing triggered, no
   * such run, image or file.
   */
  invalidInput: 3,
  /** The platform failed: a job was lost, nothing could be started. Not the job's fault. */
  platform: 4,
  /** Cancelled, here with Ctrl-C (130 is what shells say of SIGINT) or by somebody else. */
  cancelled: 130,
} as const;
export type ExitCode = (typeof EXIT)[keyof typeof EXIT];
