import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Job } from '@onejob/protocol';
import {
  assertBuried,
  checkHostAfterEach,
  peakMemoryBytes,
  spawnAgent,
  startConstellation,
  type Constellation,
  type SpawnedAgent,
} from '@onejob/testing';
import { guestProgram, type GUESTS, type GuestProgram } from './_fake-guest.ts';

const MiB = 1024 * 1024;
const WORKFLOW = `
on: push
jobs:
  job:
    runs-on: ubuntu-latest
    timeout-minutes: TIMEOUT
    steps:
      - run: echo hello
`;

let guest: GuestProgram;
let runnerPath = '';
let constellation: Constellation;
let agent: SpawnedAgent;

before(async () => {
  guest = guestProgram();
  constellation = await startConstellation({ agent: false });
  const config = await constellation.agentProcessConfig();
  runnerPath = config.guestRunnerPath;
  agent = spawnAgent({
    ...config,
    guestRunnerPath: guest.path,
    bootTimeoutMs: 1_500,
    cancelTimeoutMs: 1,
    slots: 1,
  });
  await agent.announced;
});
after(async () => {
  await agent.stop();
  await constellation[Symbol.asyncDispose]();
  await guest[Symbol.asyncDispose]();
});
checkHostAfterEach();

async function runWith(kind: keyof typeof GUESTS, timeoutMinutes = 5): Promise<Job> {
  guest.become(kind);
  const workflow = WORKFLOW.replace('TIMEOUT', String(timeoutMinutes));
  const { run } = await constellation.run({ workflow });
  return run.jobs[0]!;
}

/** What it was did not outlive it, and the same agent does an honest job next. */
async function assertUnharmed(): Promise<void> {
  await assertBuried(constellation.agentDirectory);
  guest.becomeRunner(runnerPath);
  const { run, logs } = await constellation.run({ workflow: WORKFLOW.replace('TIMEOUT', '5') });
  assert.equal(run.conclusion, 'success');
  assert.ok(logs['job']?.some(({ text }) => text === 'hello'));
  await assertBuried(constellation.agentDirectory);
}

async function assertNeverAdopted(job: Job, why: RegExp): Promise<void> {
  assert.deepEqual([job.conclusion, job.endReason, job.adoptedAtMs], ['lost', 'boot_failed', null]);
  assert.match(job.endMessage, why);
  const moves = await constellation.api.transitions(job.id);
  assert.equal(moves.filter(({ to }) => to === 'leased').length, 3, 'it was tried three times');
}

test('a guest that never connects is given up, three times, and the platform is blamed', async () => {
  await assertNeverAdopted(await runWith('neverConnects'), /3 leases.*did not connect.*1500 ms/s);
  await assertUnharmed();
});

test('a guest that dies at its start is told with its last words', async () => {
  await assertNeverAdopted(await runWith('diesAtOnce'), /exit 3.*no such machine/s);
  await assertUnharmed();
});

test('a guest that sends noise instead of HTTP/2 never gets a job', async () => {
  await assertNeverAdopted(await runWith('sendsNoise'), /broke/);
  await assertUnharmed();
});

test('a guest that speaks before it says hello never gets a job', async () => {
  await assertNeverAdopted(await runWith('speaksBeforeHello'), /before hello/);
  await assertUnharmed();
});

test('a guest that dies with its job fails it, and the job is blamed', async () => {
  const job = await runWith('dies');
  assert.deepEqual([job.conclusion, job.endReason], ['failure', 'runner_killed']);
  assert.match(job.endMessage, /exit code 9/);
  await assertUnharmed();
});

for (const [kind, why] of [
  ['floods', /floods its log/],
  ['floodsWithoutLineEnd', /a message of more than \d+ bytes/],
  ['breaksFrames', /broken HTTP\/2 frames/],
  ['sendsNonsense', /not JSON/],
  ['blamesThePlatform', /does not fit its schema/],
  ['skipsLogRows', /row 7 where 0 was due/],
] as const) {
  test(`a guest that breaks the protocol (${kind}) is cut off, and the job is blamed`, async () => {
    const job = await runWith(kind);
    assert.deepEqual([job.conclusion, job.endReason], ['failure', 'protocol_violation']);
    assert.match(job.endMessage, why);
    const peak = peakMemoryBytes(agent.pid);
    assert.ok(peak > 0 && peak < 400 * MiB, `the agent took ${peak} bytes`);
    await assertUnharmed();
  });
}

test('a guest that never reads is ended by the deadline', async () => {
  const job = await runWith('neverReads', 0.01);
  assert.deepEqual([job.conclusion, job.endReason], ['timed_out', 'deadline']);
  await assertUnharmed();
});
