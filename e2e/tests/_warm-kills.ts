/**
 * An agent whose machines are saved, restored and wait for jobs is killed in the middle of each of that,
 * and so is the monitor of one that waits. After each kill nothing of a machine runs; after each restart
 * nothing is left; jobs that were not adopted run again, on machines that were saved before.
 */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import type { Job, Run } from '@onejob/protocol';
import {
  assertBuried,
  checkHostAfterEach,
  eventually,
  filesBelow,
  listProcesses,
  ofSandboxes,
  sandboxIdsIn,
  startConstellation,
  type AgentProcessConfig,
  type Constellation,
  type SpawnedAgent,
} from '@onejob/testing';
import {
  assertDiedWithAgent,
  assertLost,
  jobFor,
  onlyJob,
  startAfterKill,
} from './_sigkill-rounds.ts';

checkHostAfterEach();

const LABEL = 'warm';
/** Lines of a waiting machine's journal with which a job takes it; the last is the adoption itself. */
const TAKING = ['lease', 'adopting', 'adopted'] as const;

const LONG_JOB = `on: push
jobs:
  one:
    runs-on: ${LABEL}
    steps:
      - run: sleep 300
`;

type Monitor = { pid: number; sandboxId: string };

class WarmHost {
  readonly #constellation: Constellation;
  readonly config: AgentProcessConfig;
  #isUsed = false;

  constructor(constellation: Constellation, config: AgentProcessConfig) {
    this.#constellation = constellation;
    this.config = config;
  }

  /** Nothing of the agent before is left then, which was killed among machines. */
  async start(options: Partial<AgentProcessConfig> = {}): Promise<SpawnedAgent> {
    const journals = join(this.config.stateDirectory, 'journals');
    const killed = sandboxIdsIn(filesBelow(journals).join('\n'));
    assert.equal(killed.length > 0, this.#isUsed);
    this.#isUsed = true;
    return await startAfterKill({ ...this.config, ...options }, killed.length);
  }

  async push(workflow = jobFor(LABEL)): Promise<Run> {
    return await this.#constellation.start({ workflow });
  }

  /** Adopted once, and well, though it was leased so often. */
  async succeeds(run: Run, leases = 1): Promise<Job> {
    const job = onlyJob((await this.#constellation.ended(run)).run);
    assert.equal(job.conclusion, 'success', job.endReason ?? '');
    const moves = await this.#constellation.api.transitions(job.id);
    assert.equal(moves.filter(({ to }) => to === 'leased').length, leases);
    assert.equal(moves.filter(({ to }) => to === 'running').length, 1);
    return job;
  }

  async isLost({ id }: Run): Promise<void> {
    await assertLost(this.#constellation, id);
  }

  /** A job on a machine that was saved, behind which another one waits. */
  async warmUp(agent: SpawnedAgent, run: Run, leases = 1): Promise<void> {
    const { driverNote } = await this.succeeds(run, leases);
    assert.match(driverNote ?? '', /restored from a machine snapshot/);
    await eventually('a machine waited', () => agent.waiting() === 1 || undefined);
  }

  async kill(agent: SpawnedAgent): Promise<void> {
    agent.kill('SIGKILL');
    await this.dies(agent);
  }

  async dies(agent: SpawnedAgent): Promise<void> {
    assert.equal((await agent.exited).signal, 'SIGKILL');
    await assertDiedWithAgent(this.config);
  }

  /** Monitors of machines that become a snapshot, or come from one. */
  monitors(use: 'save' | 'restore'): Monitor[] {
    const ours = ofSandboxes(this.config.stateDirectory).join('\n');
    return listProcesses().flatMap(({ pid, commandLine }) => {
      const [sandboxId = ''] = sandboxIdsIn(commandLine);
      const isOurs = /^\S*qemu-system/.test(commandLine) && ours.includes(`process ${pid} `);
      const hasMonitor = commandLine.includes('id=monitor');
      const isRestored = commandLine.includes('-incoming');
      const isWanted = isOurs && hasMonitor && isRestored === (use === 'restore');
      return isWanted ? [{ pid, sandboxId }] : [];
    });
  }

  /** A machine that is being restored, none of these, gets no further. */
  async stopRestore(known: readonly Monitor[] = []): Promise<void> {
    const isKnown = ({ pid }: Monitor): boolean => known.some((one) => one.pid === pid);
    const monitor = await eventually('a machine was being restored', () =>
      this.monitors('restore').find((one) => !isKnown(one)),
    );
    process.kill(monitor.pid, 'SIGSTOP');
  }

  /** Names of snapshots, or of what becomes one. */
  snapshots(name: RegExp): string[] {
    const directory = join(this.config.cacheDirectory, 'snapshots');
    return existsSync(directory) ? readdirSync(directory).filter((one) => name.test(one)) : [];
  }
}

test('an agent that saves, restores and keeps machines leaves nothing, whenever it is killed', async (t) => {
  await using constellation = await startConstellation({ driver: 'qemu', agent: false });
  const host = new WarmHost(constellation, {
    ...(await constellation.agentProcessConfig()),
    // Without any snapshot.
    cacheDirectory: join(constellation.directory, 'cache'),
    ...{ labels: [LABEL], slots: 2, pool: { maximum: 1 } },
  });

  await killSaving(t, host);
  const lost = [await killRestoring(t, host), await killTaking(t, host)];
  await t.test(
    'the monitor of a machine that waits is killed: it is told, and given to no job',
    async () => await killWaitingMonitor(host, lost),
  );
});

async function killSaving(t: TestContext, host: WarmHost): Promise<void> {
  await t.test('killed while a machine that is to be saved comes up', async () => {
    await using agent = await host.start();
    await host.succeeds(await host.push());
    await eventually('a machine to be saved was there', () => host.monitors('save')[0]);
    await host.kill(agent);
    assert.deepEqual(host.snapshots(/./), []);
  });

  await t.test('killed while a snapshot is written', async () => {
    await using agent = await host.start();
    await host.succeeds(await host.push());
    await eventually('a snapshot was begun', () => host.snapshots(/^draft/)[0]);
    await host.kill(agent);
    assert.deepEqual(host.snapshots(/^[0-9a-f]{64}$/), [], 'it was not finished');
  });

  await t.test('killed while a machine waits', async () => {
    await using agent = await host.start();
    await host.succeeds(await host.push());
    await eventually('a snapshot was there', () => host.snapshots(/^[0-9a-f]{64}$/)[0]);
    await eventually('a machine waited', () => agent.waiting() === 1 || undefined);
    await host.kill(agent);
  });
}

/** Answers the run of a job that was adopted then. */
async function killRestoring(t: TestContext, host: WarmHost): Promise<Run> {
  let again = await host.push();
  await t.test('killed while a machine is restored for a job, which runs again', async () => {
    await using agent = await host.start();
    await host.stopRestore();
    await host.kill(agent);
    assert.ok(!agent.lines.some(({ entry }) => entry === 'adopting'));
  });

  await t.test('killed while a machine is restored that is to wait', async () => {
    await using agent = await host.start();
    await host.warmUp(agent, again, 2);
    const known = host.monitors('restore');
    again = await host.push(LONG_JOB);
    await host.stopRestore(known);
    await eventually('the job had the machine that waited', () =>
      agent.lines.filter(({ entry }) => entry === 'adopted').length === 2 ? true : undefined,
    );
    assert.equal(agent.waiting(), 0, 'and the next one is not ready');
    await host.kill(agent);
  });
  return again;
}

/** Answers the run of a job that was adopted then. */
async function killTaking(t: TestContext, host: WarmHost): Promise<Run> {
  let again = await host.push();
  for (const entry of TAKING) {
    await t.test(`killed when a job took a machine that waited: ${entry}`, async () => {
      await using agent = await host.start({ dieWaitedAt: entry });
      await host.warmUp(agent, again, entry === 'lease' ? 1 : 2);
      again = await host.push();
      await host.dies(agent);
      assert.equal(agent.lines.at(-1)?.entry, entry);
    });
  }
  return again;
}

/** @param lost of jobs that were adopted when the agent before was killed */
async function killWaitingMonitor(host: WarmHost, lost: readonly Run[]): Promise<void> {
  await using agent = await host.start();
  for (const run of lost) await host.isLost(run);
  await host.warmUp(agent, await host.push());
  const [monitor, ...others] = host.monitors('restore');
  assert.ok(monitor !== undefined && others.length === 0);
  process.kill(monitor.pid, 'SIGKILL');
  await host.succeeds(await host.push());
  assert.match(agent.warnings(), /^A machine that waited for a job ended: .*SIGKILL/m);
  await agent.stop();
  const ids = sandboxIdsIn(JSON.stringify(agent.lines));
  assert.ok(ids.includes(monitor.sandboxId));
  await assertBuried(host.config.stateDirectory, ids);
}
