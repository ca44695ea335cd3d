/** The agent and its control plane: found late, forgotten, gone for a while, gone for good. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { newSandboxId } from '@onejob/protocol';
import { AgentLab, until } from './_agent-lab.ts';
import { checkLeaksAfterEach } from './_leaks.ts';

checkLeaksAfterEach();

test('a control plane that is down at start is waited for', async () => {
  await using lab = await AgentLab.open();
  const agent = await lab.agent();
  const job = lab.controlPlane.queue([['finish', 'steps_completed']]);
  await lab.controlPlane.start();
  await agent.announced;
  assert.equal((await lab.ended(job)).reason, 'steps_completed');
  assert.equal(lab.controlPlane.announced.length, 1);
  await lab.nothingLeft();
});

test('an agent that never found its control plane can be stopped, and says that it was', async () => {
  await using lab = await AgentLab.open();
  const agent = await lab.agent();
  await agent[Symbol.asyncDispose]();
  await agent[Symbol.asyncDispose]();
  await assert.rejects(agent.announced, { code: 'stopped' });
});

test('an agent that was forgotten announces itself again, once, and its job goes on', async () => {
  await using lab = await AgentLab.open();
  await lab.controlPlane.start();
  await lab.agent();
  const first = lab.controlPlane.queue([['obeyCancel'], ['log', 'running']]);
  await until('it runs', () => first.log.length > 0);
  lab.controlPlane.forgetAgents();
  const second = lab.controlPlane.queue([['finish', 'steps_completed']]);
  assert.equal((await lab.ended(second)).reason, 'steps_completed');
  lab.controlPlane.cancel(first, 10_000);
  assert.equal((await lab.ended(first)).reason, 'cancelled');
  assert.equal(lab.controlPlane.announced.length, 2);
  await lab.nothingLeft();
});

test('a control plane that goes and comes back loses no row and no job', async () => {
  await using lab = await AgentLab.open();
  await lab.controlPlane.start();
  await lab.agent();
  const job = lab.controlPlane.queue([['log', 'before'], ['total'], ['finish', 'steps_completed']]);
  await until('it runs', () => job.state === 'running');
  await lab.controlPlane.stop();
  await lab.controlPlane.start();
  assert.equal((await lab.ended(job)).reason, 'steps_completed');
  assert.deepEqual(job.log, ['before']);
  assert.equal(job.adoptions, 1);
  await lab.nothingLeft();
});

test('an end that cannot be told when the agent stops is told by its next start', async () => {
  await using lab = await AgentLab.open();
  await lab.controlPlane.start();
  const agent = await lab.agent();
  const job = lab.controlPlane.queue([['orphan'], ['log', 'running']]);
  await until('it runs', () => job.log.length > 0);
  await lab.controlPlane.stop();
  await agent[Symbol.asyncDispose]();
  assert.deepEqual(
    lab.left().map((name) => name.slice(-6)),
    ['.jsonl'],
    'the journal alone is left',
  );
  await lab.controlPlane.start();
  const next = await lab.agent();
  await next.announced;
  const [buried] = lab.controlPlane.announced.at(-1)?.buried ?? [];
  assert.equal(buried?.jobId, job.jobId);
  assert.equal(buried?.epoch, job.epoch);
  assert.equal(buried?.adopted, true);
  assert.deepEqual(lab.left(), []);
});

test('a running agent takes away what a burial left, and no sandbox that lives', async () => {
  await using lab = await AgentLab.open();
  await lab.controlPlane.start();
  await lab.agent({ reapIntervalMs: 20 });
  const job = lab.controlPlane.queue([['obeyCancel'], ['log', 'running']]);
  await until('it runs', () => job.log.length > 0);
  for (let round = 0; round < 5; round += 1) {
    const left = join(lab.root, 'state/sandboxes', newSandboxId());
    mkdirSync(join(left, 'deep'), { recursive: true });
    await until('it is removed', () => !existsSync(left));
    await until('that is told', () => lab.warnings.some((one) => one.includes(left)));
  }
  assert.ok(
    lab.warnings.every((one) => /^Removed: directory .*no live sandbox has that id/.test(one)),
  );
  assert.equal(lab.warnings.length, 5);
  lab.controlPlane.cancel(job, 10_000);
  assert.equal((await lab.ended(job)).reason, 'cancelled');
  await lab.nothingLeft();
});
