/**
 * One round: the agent is killed at every line of a sandbox's journal, each time with a job of its
 * own, then once more while the machine boots. After each kill nothing of the job may run; after
 * each restart nothing may be left; at the end each job has the outcome the rules give.
 */
import assert from 'node:assert/strict';
import { copyFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Job, Run } from '@onejob/protocol';
import {
  assertBuried,
  eventually,
  filesBelow,
  ofSandboxes,
  sandboxIdsIn,
  spawnAgent,
  startConstellation,
  type AgentProcessConfig,
  type Constellation,
  type SpawnedAgent,
} from '@onejob/testing';

type DriverName = 'process' | 'qemu';
type JournalLine = SpawnedAgent['lines'][number];
type Network = NonNullable<AgentProcessConfig['network']>;
export type KillRound = {
  driver: DriverName;
  network: Network;
  journal: readonly JournalLine[];
  /** Only at lines of these kinds; else at every line. */
  at?: readonly string[];
};

const kindOf = (line: JournalLine): string =>
  line.entry === 'acquire' ? line.acquisition.kind : line.entry;

/** The job of each kill has a label of its own, so that only the agent meant for it takes it. */
export const jobFor = (label: string): string => `
on: push
jobs:
  one:
    runs-on: ${label}
    outputs:
      answer: \${{ steps.say.outputs.answer }}
    steps:
      - id: say
        run: echo "answer=${label}" | tee -a "$GITHUB_OUTPUT"
`;

export const onlyJob = (run: Run): Job => {
  const [job, ...others] = run.jobs;
  assert.ok(job !== undefined && others.length === 0);
  return job;
};

/** The lines of one undisturbed sandbox; its journal, put back, tells of an end told already. */
export async function recordJournal(
  driver: DriverName,
  network: Network = 'link',
): Promise<JournalLine[]> {
  const lines: JournalLine[] = [];
  let keepJournal = (): void => {};
  const onJournalLine = (line: JournalLine): void => {
    lines.push(line);
    keepJournal();
  };
  const labels = ['undisturbed'];
  await using constellation = await startConstellation({
    driver,
    agent: { labels, onJournalLine, network, snapshots: false },
  });
  const journals = join(constellation.agentDirectory, 'journals');
  const copy = join(constellation.directory, 'journal-of-the-end');
  let name = '';
  keepJournal = () => {
    [name = ''] = readdirSync(journals);
    copyFileSync(join(journals, name), copy);
  };
  const ended = await constellation.run({ workflow: jobFor('undisturbed') });
  assert.equal(onlyJob(ended.run).conclusion, 'success');
  await constellation.agent?.[Symbol.asyncDispose]();
  await assertBuried(constellation.agentDirectory);

  copyFileSync(copy, join(journals, name));
  const config = await constellation.agentProcessConfig();
  await (await startAfterKill({ ...config, slots: 0 })).stop();
  const [run] = await constellation.api.runs(10);
  assert.ok(run !== undefined);
  const job = onlyJob(run);
  assert.equal(job.conclusion, 'success', 'a job ended and reported stays as reported');
  assert.deepEqual(job.outputs, { answer: 'undisturbed' });
  return lines;
}

/** The journal of a microVM's life, which must have the lines we think it has. */
export async function recordMicroVmJournal(network: Network = 'link'): Promise<JournalLine[]> {
  const journal = await recordJournal('qemu', network);
  const kinds = journal.map((line) => kindOf(line));
  const isRoot = process.getuid?.() === 0; // else the machine has no user, and may have no group
  const hasNetwork = network === 'nat';
  assert.deepEqual(kinds, [
    ...['lease', 'directory'],
    ...(hasNetwork ? ['interface', 'network_namespace', 'packet_rules'] : []),
    ...[...(isRoot ? ['user'] : []), 'disk', 'socket', 'socket', 'socket'],
    ...[...(isRoot ? ['cgroup'] : []), 'directory', 'process', 'adopting', 'adopted'],
    // What records its flows, from when the way out is opened.
    ...(hasNetwork ? ['process'] : []),
    ...['buried', 'ended'],
  ]);
  return journal;
}

export async function killAtLines({ driver, network, journal, at }: KillRound): Promise<void> {
  await using constellation = await startConstellation({ driver, agent: false });
  // What is restored has another journal; whether something is depends on jobs before.
  const config = { ...(await constellation.agentProcessConfig()), network, snapshots: false };
  // Up to there the job is unadopted at the control plane: it runs again.
  const adopted = journal.findIndex(({ entry }) => entry === 'adopted');
  const moments = 'killed when adopted, (its way out open,) buried, and before the end was told';
  assert.equal(journal.length - adopted, network === 'nat' ? 4 : 3, moments);
  const again: string[] = [];
  const lost: string[] = [];
  for (const [index, line] of journal.entries()) {
    if (at !== undefined && !at.includes(kindOf(line))) continue;
    const label = `line-${index + 1}`;
    const where = `killed at journal line ${index + 1} (${JSON.stringify(line)})`;
    const dying = { ...config, labels: [label], dieAtLine: index + 1 };
    await using agent = await startAfterKill(dying, again.length + lost.length === 0 ? 0 : 1);
    const run = await constellation.start({ workflow: jobFor(label) });
    assert.equal((await agent.exited).signal, 'SIGKILL', where);
    assert.deepEqual(agent.lines.at(-1)?.entry, line.entry, where);
    await assertDiedWithAgent(config);
    (index < adopted ? again : lost).push(run.id);
  }
  again.push(await killWhileItBoots(constellation, config));
  await (await startAfterKill({ ...config, slots: 0 })).stop();
  for (const id of lost) await assertLost(constellation, id);
  await runAgain(constellation, config, journal.length, again);
}

/**
 * The next agent of this host: when it is announced, nothing of the one before is left, nor anything
 * that carries the id of one of its sandboxes.
 */
export async function startAfterKill(
  config: AgentProcessConfig,
  sandboxes = 1,
): Promise<SpawnedAgent> {
  await using undo = new AsyncDisposableStack();
  const journals = filesBelow(join(config.stateDirectory, 'journals'));
  const killed = sandboxIdsIn(journals.join('\n'));
  assert.equal(killed.length, sandboxes, 'a journal of each sandbox that was killed');
  const agent = undo.use(spawnAgent(config));
  await agent.announced;
  await assertBuried(config.stateDirectory, killed);
  undo.move();
  return agent;
}

/** No process of a sandbox runs without its agent, reaped or not. */
export async function assertDiedWithAgent({ stateDirectory }: AgentProcessConfig): Promise<void> {
  await eventually('every process of the sandbox had died with the agent', () => {
    const alive = ofSandboxes(stateDirectory).filter((one) => one.startsWith('proc'));
    return alive.length === 0 ? true : undefined;
  });
}

export async function assertLost({ api }: Constellation, runId: string): Promise<void> {
  const job = onlyJob(await api.run(runId));
  assert.deepEqual([job.conclusion, job.endReason], ['lost', 'agent_died']);
  const moves = await api.transitions(job.id);
  assert.equal(moves.filter(({ to }) => to === 'running').length, 1);
}

/** Killed from outside, when the machine's monitor (or the runner) is there but not yet greeted. */
async function killWhileItBoots(
  constellation: Constellation,
  config: AgentProcessConfig,
): Promise<string> {
  await using agent = await startAfterKill({ ...config, labels: ['boots'] });
  const run = await constellation.start({ workflow: jobFor('boots') });
  const program = config.drivers?.[0] === 'qemu' ? 'qemu-system' : config.guestRunnerPath;
  await eventually('the machine of the sandbox was seen', () =>
    ofSandboxes(config.stateDirectory).find((one) => one.includes(program)),
  );
  agent.kill('SIGKILL');
  await agent.exited;
  assert.ok(!agent.lines.some(({ entry }) => entry === 'adopting'), 'killed before it was greeted');
  await assertDiedWithAgent(config);
  return run.id;
}

async function runAgain(
  constellation: Constellation,
  config: AgentProcessConfig,
  lines: number,
  runs: readonly string[],
): Promise<void> {
  const { api } = constellation;
  for (const id of runs) assert.equal(onlyJob(await api.run(id)).state, 'queued');
  const labels = ['boots', ...Array.from({ length: lines }, (_, index) => `line-${index + 1}`)];
  await using agent = spawnAgent({ ...config, labels });
  for (const id of runs) {
    const { run } = await constellation.ended(await api.run(id));
    const job = onlyJob(run);
    const moves = await api.transitions(job.id);
    assert.deepEqual([job.conclusion, job.labels], ['success', [job.outputs['answer']]]);
    assert.equal(moves.filter(({ to }) => to === 'leased').length, 2, 'leased twice');
    assert.equal(moves.filter(({ to }) => to === 'running').length, 1, 'adopted once');
  }
  await agent.stop();
  const ids = sandboxIdsIn(JSON.stringify(agent.lines));
  assert.equal(ids.length, runs.length, 'a sandbox for each');
  await assertBuried(config.stateDirectory, ids);
}
