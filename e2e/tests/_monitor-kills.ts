/**
 * The machine monitor is killed at every step of a sandbox's life at which there is one, three times
 * over: before the job is adopted it runs again, afterwards it is lost to the platform. Nothing stays
 * on the host.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { JournalLine } from '@onejob/agent';
import type { Job } from '@onejob/protocol';
import {
  assertBuried,
  checkHostAfterEach,
  eventually,
  listProcesses,
  ofSandboxes,
  sandboxIdsIn,
  startConstellation,
  type Constellation,
} from '@onejob/testing';

checkHostAfterEach();

const ROUNDS = [1, 2, 3];
const WORKFLOW = `on: push
jobs:
  one:
    runs-on: ubuntu-latest
    steps:
      - run: echo begun; sleep 2; echo done
`;

/**
 * The line at which it is killed, or what else is waited for; and how the job ends. A burial begins with
 * the monitor's end, so none is there at any of its lines.
 */
const STEPS = [
  { at: 'started', leases: 2, conclusion: 'success' },
  { at: 'adopting', leases: 1, conclusion: 'lost' },
  { at: 'adopted', leases: 1, conclusion: 'lost' },
  { at: 'first row', leases: 1, conclusion: 'lost' },
] as const;

/** Kills every monitor of the agent; answers how many there were. */
function killMonitors(agentDirectory: string): number {
  const ours = ofSandboxes(agentDirectory).join('\n');
  const monitors = listProcesses().filter(
    ({ pid, commandLine }) =>
      /^\S*qemu-system/.test(commandLine) && ours.includes(`process ${pid} `),
  );
  for (const { pid } of monitors) process.kill(pid, 'SIGKILL');
  return monitors.length;
}

const onlyJob = async ({ api }: Constellation, runId: string): Promise<Job> => {
  const { jobs } = await api.run(runId);
  assert.equal(jobs.length, 1);
  return jobs[0]!;
};

for (const { at, leases, conclusion } of STEPS) {
  test(`a monitor that is killed at "${at}": the job ends as the rules say and nothing stays, three times over`, async () => {
    let killed = 0;
    let isDue = false;
    const lines: JournalLine[] = [];
    const onJournalLine = (line: JournalLine): void => {
      lines.push(line);
      const { entry } = line;
      if (!isDue || entry !== at) return;
      isDue = false;
      killed += killMonitors(constellation.agentDirectory);
    };
    await using constellation = await startConstellation({
      driver: 'qemu',
      agent: { onJournalLine, slots: 1, snapshots: false },
    });
    const { agentDirectory, api } = constellation;
    for (const round of ROUNDS) {
      killed = 0;
      isDue = true;
      const run = await constellation.start({ workflow: WORKFLOW });
      const kill = (): true | undefined => {
        killed += killMonitors(agentDirectory);
        return killed > 0 || undefined;
      };
      if (at === 'started') await eventually('a monitor was there', kill);
      const { id } = await onlyJob(constellation, run.id);
      if (at === 'first row') {
        await eventually('the job had begun', async () => {
          const { rows } = await api.log(id, 0);
          return rows.some(({ text }) => text === 'begun') || undefined;
        });
        kill();
      }
      await constellation.ended(run);
      const job = await onlyJob(constellation, run.id);
      const moves = await api.transitions(id);
      const leased = moves.filter(({ to }) => to === 'leased').length;
      const seen = [killed, leased, job.conclusion];
      assert.deepEqual(seen, [1, leases, conclusion], `round ${round}: ${job.endReason}`);
      if (conclusion === 'lost') assert.match(job.endReason ?? '', /^(vmm_died|platform_error)$/);
      const ids = sandboxIdsIn(JSON.stringify(lines));
      assert.equal(ids.length, leases * round, 'a sandbox for each lease');
      await assertBuried(agentDirectory, ids);
    }
  });
}
