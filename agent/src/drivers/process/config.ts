/** What the process driver needs to know of its host. */
export type ProcessDriverConfig = {
  hostMarker: string;
  /** The Node that runs the guest runner. */
  nodePath: string;
  /** PATH of the job's processes. */
  searchPath: string;
  /** From start to the runner's connection; it is only a process start, so this is generous. */
  bootTimeoutMs: number;
};

export const PROCESS_BOOT_TIMEOUT_MS = 20_000;
