/** What a platform promises of its hosts: open, closed or none, and images that are being made. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Health, Host, Job } from '@onejob/protocol';
import { TestAgent } from './_agent.ts';
import { Platform } from './_platform.ts';

const workflow = (label: string): string =>
  `on: push\njobs:\n  a: { runs-on: ${label}, steps: [{ run: 'true' }] }\n` +
  "  b: { runs-on: ubuntu-latest, needs: a, steps: [{ run: 'true' }] }\n";

const jobA = async (platform: Platform, runId: string): Promise<Job> =>
  (await platform.run(runId)).jobs.find((job) => job.key === 'a')!;

/** The host as its agent announces it while its image is made, and after. */
async function announce(platform: Platform, preparing: boolean, works = true): Promise<TestAgent> {
  const host = { hostName: 'host-1', labels: ['ubuntu-latest'], slots: 4, cpus: 2 };
  const qemu = { name: 'qemu', works, ownKernel: true, note: 'as tried', preparing };
  const trusted = { name: 'process', works: true, ownKernel: false, note: '' };
  const { agentId, agentCredential } = await platform.agentClient().announce({
    ...host,
    drivers: [qemu, trusted],
    memoryBytes: 1024n ** 3n,
    agentVersion: 'test',
  });
  return TestAgent.of(platform.agentClient(agentCredential), agentId, agentCredential);
}

test('a closed fleet ends a job that no host can take, with the labels it wants and those there are', async () => {
  await using platform = await Platform.start({ fleet: 'closed' });
  const { id } = await platform.runWorkflow(workflow('windows-latest'));
  // Nobody knows yet what its agent can take.
  await platform.eventually(
    async () => await jobA(platform, id),
    (job) => job.waitingReason === 'no_capacity',
  );
  await TestAgent.announce(platform, { labels: ['linux', 'ubuntu-latest'] });
  const run = await platform.eventually(
    async () => await platform.run(id),
    ({ state }) => state === 'finished',
  );
  assert.equal(run.conclusion, 'refused');
  const [a, b] = run.jobs;
  assert.deepEqual([a?.conclusion, a?.endReason], ['refused', 'no_host']);
  assert.match(a?.endMessage ?? '', /\[windows-latest\].*\[linux, ubuntu-latest\]/);
  assert.equal(b?.conclusion, 'skipped');
});

test('an open fleet keeps it waiting: another host may come', async () => {
  await using platform = await Platform.start();
  await TestAgent.announce(platform);
  const { id } = await platform.runWorkflow(workflow('windows-latest'));
  await platform.eventually(
    async () => await jobA(platform, id),
    (job) => job.waitingReason === 'no_host_for_label',
  );
  await new Promise((resolve) => setTimeout(resolve, 300));
  assert.equal((await jobA(platform, id)).state, 'queued');
  const other = await TestAgent.announce(platform, { host: 'host-2', labels: ['windows-latest'] });
  await other.start();
  assert.equal((await jobA(platform, id)).host, 'host-2');
});

test('a closed fleet believes only the agent of this start, not what an earlier one could', async () => {
  await using platform = await Platform.start({ fleet: 'closed' });
  await TestAgent.announce(platform, { labels: ['windows-latest'] });
  await platform.stop();
  await platform.startAgain();
  const { hosts } = (await platform.api('GET', '/hosts')).body as { hosts: Host[] };
  assert.deepEqual(
    hosts.map((host) => host.online),
    [false],
  );
  const { id } = await platform.runWorkflow(workflow('ubuntu-latest'));
  await platform.eventually(
    async () => await jobA(platform, id),
    (job) => job.waitingReason === 'no_capacity',
  );
  const agent = await TestAgent.announce(platform, { labels: ['ubuntu-latest'] });
  await agent.start();
  assert.equal((await jobA(platform, id)).state, 'running');
});

test('jobs wait for an image that is being made; others run meanwhile', async () => {
  await using platform = await Platform.start({ fleet: 'closed' });
  const early = await announce(platform, true);
  const machine = await platform.runWorkflow(workflow('ubuntu-latest'), { driver: 'auto' });
  const trusted = await platform.runWorkflow(workflow('ubuntu-latest'));
  await platform.eventually(
    async () => await jobA(platform, machine.id),
    (job) => job.waitingReason === 'image_preparing',
  );
  const { jobId } = await early.start();
  assert.equal(jobId, (await jobA(platform, trusted.id)).id);
  assert.deepEqual(await early.poll(), []);
  const { hosts } = (await platform.api('GET', '/hosts')).body as { hosts: Host[] };
  assert.deepEqual(
    hosts[0]?.drivers.map((one) => [one.name, one.preparing]),
    [
      ['qemu', true],
      ['process', false],
    ],
  );
  const ready = await announce(platform, false);
  assert.equal((await ready.start()).jobId, (await jobA(platform, machine.id)).id);
});

test('where the image cannot be made, a closed fleet refuses what needs it, and says so', async () => {
  await using platform = await Platform.start({ fleet: 'closed' });
  await announce(platform, true);
  const { id } = await platform.runWorkflow(workflow('ubuntu-latest'), { driver: 'auto' });
  await platform.eventually(
    async () => await jobA(platform, id),
    (job) => job.waitingReason === 'image_preparing',
  );
  await announce(platform, false, false);
  const job = await platform.eventually(
    async () => await jobA(platform, id),
    ({ state }) => state === 'finished',
  );
  assert.equal(job.conclusion, 'refused');
  assert.match(job.endMessage, /driver auto.*qemu: does not work: as tried/);
});

test('a platform that was opened to be asked says so and takes no run', async () => {
  await using platform = await Platform.start({ fleet: 'none' });
  const health = (await platform.api('GET', '/health')).body as Health;
  assert.equal(health.fleet, 'none');
  await assert.rejects(platform.runWorkflow(workflow('ubuntu-latest')), /503.*takes no new runs/);
});

test('an owner that leaves takes no run that nobody would run, and stays while one goes on', async () => {
  await using platform = await Platform.start({ fleet: 'closed' });
  const run = await platform.runWorkflow(workflow('ubuntu-latest'));
  assert.equal(await platform.controlPlane.closeIfIdle(), false);
  const second = await platform.runWorkflow(workflow('ubuntu-latest'));
  for (const { id } of [run, second]) {
    assert.equal(await platform.controlPlane.closeIfIdle(), false);
    await platform.api('POST', `/runs/${id}/cancel`, { kill: true });
  }
  assert.equal(await platform.controlPlane.closeIfIdle(), true);
  await assert.rejects(platform.runWorkflow(workflow('ubuntu-latest')), /503.*shutting_down/);
});

test('more runs than a page holds are refused by name, not cut', async () => {
  await using platform = await Platform.start();
  for (const limit of ['0', '101', '1000']) {
    const { status, text } = await platform.api('GET', `/runs?limit=${limit}`);
    assert.equal(status, 400, text);
    assert.match(text, /from 1 to 100 runs/);
  }
  assert.equal((await platform.api('GET', '/runs?limit=100')).status, 200);
});
