/** The variables of the job that actions read beside their inputs. */
import { homedir } from 'node:os';

const text = (name: string): string => process.env[name] ?? '';

export type GitHubVariables = {
  serverUrl: string;
  /** `owner/name` */
  repository: string;
  runId: string;
  eventName: string;
  /** Empty: the run is of no branch or tag. */
  ref: string;
  /** Absolute: where paths without a beginning start. */
  workspace: string;
};

export const readGitHub = (): GitHubVariables => ({
  serverUrl: text('GITHUB_SERVER_URL'),
  repository: text('GITHUB_REPOSITORY'),
  runId: text('GITHUB_RUN_ID'),
  eventName: text('GITHUB_EVENT_NAME'),
  ref: text('GITHUB_REF'),
  workspace: text('GITHUB_WORKSPACE') || process.cwd(),
});

export type RunnerVariables = {
  /** `Linux` */
  os: string;
  /** Absolute: it goes with the job. */
  temp: string;
};

export const readRunner = (): RunnerVariables => ({
  os: text('RUNNER_OS'),
  temp: text('RUNNER_TEMP') || process.cwd(),
});

/** Where `~` leads. */
export const readHome = (): string => homedir();
