/** What the process driver needs to know of its host, what an operator may say of it, and its limits. */
import type { UserRange } from '../../host/sandbox-user.ts';

export type ProcessDriverConfig = {
  hostMarker: string;
  /** The Node that runs the guest runner. */
  nodePath: string;
  /** PATH of the job's processes, as far as their user may enter its directories. */
  searchPath: string;
  /** From start to the runner's connection; it is only a process start, so this is generous. */
  bootTimeoutMs: number;
  settings: ProcessSettings;
  /** Where the agent is root: the numbers of the users that jobs are. */
  users: UserRange;
};

/** The operator's. Whatever they say, a pull request from elsewhere is not run without isolation. */
export type ProcessSettings = {
  /** Tenants whose jobs may run without isolation; default: none. */
  trustedTenants?: readonly string[] | 'all';
  /** Run no job whose work directory lets programs be run from it. */
  requireNoexec?: boolean;
  /** Where the agent is root, each job is a user of its own, the default; `agent`: it is root. */
  user?: 'own' | 'agent';
};

export const PROCESS_BOOT_TIMEOUT_MS = 20_000;

export const SHAPE_LIMITS = {
  /** A quota above what the host has limits nothing. */
  mostCpus: 1024,
  /** The idle guest runner needs 80 MB. */
  smallestMemoryBytes: 128 * 1024 * 1024,
  /** The disk is the host's. */
  smallestDiskBytes: 0,
} as const;
