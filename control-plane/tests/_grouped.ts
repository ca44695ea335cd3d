/** Workflows with concurrency groups, and what tests of them look at. */
import type { CreateRun, Job, Run } from '@onejob/protocol';
import type { Platform } from './_platform.ts';

const STEPS = `    runs-on: ubuntu-latest
    steps: [{ run: 'true' }]
`;

/** A workflow of this group with one job. */
export const ofGroup = (concurrency: string): string =>
  `on: push\nconcurrency: ${concurrency}\njobs:\n  build:\n${STEPS}`;

/** A workflow with jobs of these lines, each two levels in; `top` comes before them. */
export function withJobs(jobs: Record<string, string[]>, top = ''): string {
  const each = Object.entries(jobs).map(
    ([key, lines]) => `  ${key}:\n${lines.map((line) => `    ${line}\n`).join('')}${STEPS}`,
  );
  return `on: push\n${top}jobs:\n${each.join('')}`;
}

/** Starts runs of one commit, one after the other. */
export async function starter(
  platform: Platform,
  workflow: string,
  repository = 'acme/app',
): Promise<(request?: Partial<CreateRun>) => Promise<Run>> {
  const sha = await platform.snapshot({ '.github/workflows/ci.yml': workflow }, repository);
  return async (request = {}) => {
    const { runs } = await platform.createRuns({ sha, repository, ...request });
    return runs[0]!;
  };
}

export const states = ({ jobs }: Run): string[] =>
  jobs.map(({ name, state, endReason, waitingReason }) =>
    // Why a job is still in the queue is the sweep's to say, some time after.
    [name, state, state === 'queued' ? null : (endReason ?? waitingReason)]
      .filter(Boolean)
      .join(' '),
  );

export const only = ({ jobs }: Run): Job => jobs[0]!;

export const superseded = (group: string): string =>
  `Canceling since a higher priority waiting request for '${group}' exists`;

/** Waits until every run has ended. */
export async function allEnded(platform: Platform): Promise<Run[]> {
  return await platform.eventually(
    async () => ((await platform.api('GET', '/runs?limit=100')).body as { runs: Run[] }).runs,
    (runs) => runs.every((run) => run.state === 'finished'),
  );
}
