/** What runs the jobs of a proof; it is given to the proof, which knows no agent and no control plane. */
export type ProbeJob = {
  driver: string;
  files: Readonly<Record<string, string>>;
  secrets: Readonly<Record<string, string>>;
  vars: Readonly<Record<string, string>>;
};

export type EndedProbeJob = {
  sandboxId: string;
  driver: string;
  driverNote: string;
  /** Rows of its log. */
  lines: readonly string[];
  /** For people: `success`, or how it ended and why. */
  ended: string;
};

export type JobWatcher = {
  /** Told of the sandbox as soon as its job runs; the end of `run` waits for it. */
  running?: (sandboxId: string, end: AbortSignal) => Promise<void>;
  line?: (line: string) => void;
  /** Ends the job at once. */
  stop?: AbortSignal;
};

/** Runs jobs on a platform of the proof's own. */
export type Lab = {
  readonly dataDirectory: string;
  /** Of images, snapshots and blank disks; undefined: it has none. */
  readonly cacheDirectory: string | undefined;
  /** Of the container engine that is the proof's own; undefined: there is none. */
  readonly engineDirectory: string | undefined;
  run(job: ProbeJob, watcher?: JobWatcher): Promise<EndedProbeJob>;
};
