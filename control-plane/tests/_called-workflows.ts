/** Runs of several workflow files that call each other, for tests. */
import assert from 'node:assert/strict';
import type { CreateRun, Job, Run } from '@onejob/protocol';
import type { TestAgent } from './_agent.ts';
import { type Platform, RUN } from './_platform.ts';

export const FOLDER = '.github/workflows';
export const RUNS = `runs-on: ubuntu-latest, steps: [{ run: 'true' }]`;

/** Sends these files of the workflow folder and runs `ci.yml`. */
export async function runFiles(
  platform: Platform,
  files: Record<string, string>,
  request: Partial<CreateRun> = {},
): Promise<Run> {
  const sha = await platform.snapshot(inFolder(files));
  const { runs } = await platform.createRuns({ sha, workflows: [`${FOLDER}/ci.yml`], ...request });
  return runs[0]!;
}

export const inFolder = (files: Record<string, string>): Record<string, string> =>
  Object.fromEntries(Object.entries(files).map(([name, text]) => [`${FOLDER}/${name}`, text]));

/** What is said of files that make no run. */
export async function refusalOf(
  platform: Platform,
  files: Record<string, string>,
): Promise<string> {
  const sha = await platform.snapshot(inFolder(files));
  const workflows = [`${FOLDER}/ci.yml`];
  const answer = await platform.api('POST', '/runs', { ...RUN, sha, workflows });
  assert.equal(answer.status, 422, answer.text);
  return (answer.body as { error: { message: string } }).error.message;
}

export const shown = (run: Run): (string | null)[][] =>
  run.jobs.map((job) => [job.key, job.name, job.conclusion ?? job.state]);

export const named = (run: Run, name: string): Job => {
  const job = run.jobs.find((one) => one.name === name);
  assert.ok(job !== undefined, JSON.stringify(shown(run)));
  return job;
};

/** Runs every job that is offered, in the order of the offers, until there is none. */
export async function finishAll(
  agent: TestAgent,
  end: (key: string) => { reason?: string; outputs?: Record<string, string> } = () => ({}),
): Promise<string[]> {
  const names: string[] = [];
  for (;;) {
    const [offer] = await agent.poll(1, 0);
    if (offer === undefined) return names;
    const leased = await agent.lease(offer);
    await leased.adopt();
    const name = leased.task?.job.name ?? '';
    names.push(name);
    const { reason = 'steps_completed', outputs = {} } = end(name);
    await leased.finish(reason, { outputs });
  }
}
