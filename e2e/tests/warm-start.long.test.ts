/** Whole jobs on machines that are restored from a machine snapshot, which the agent made of its own accord. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  assertBuried,
  eventually,
  ofSandboxes,
  startConstellation,
  type EndedRun,
} from '@onejob/testing';

/** Of this file alone: no other test has made a snapshot in it. */
const cacheDirectory = await mkdtemp(join(tmpdir(), 'onejob-warm-'));
after(async () => await rm(cacheDirectory, { recursive: true, force: true }));
const snapshots = join(cacheDirectory, 'snapshots');

const job = (script: string): string =>
  `on: push\njobs:\n  one:\n    runs-on: ubuntu-latest\n    steps:\n      - uses: actions/checkout@v4\n      - run: ${script}\n`;

const phasesOf = ({ run }: EndedRun): string[] => Object.keys(run.jobs[0]?.phasesMs ?? {});

test('the first job is booted, a snapshot is made behind it, and the next jobs are restored, each alone', async () => {
  const warnings: string[] = [];
  const agent = { cacheDirectory, warn: (message: string) => void warnings.push(message) };
  await using constellation = await startConstellation({ driver: 'qemu', agent });
  const first = await constellation.run({ workflow: job('hostname') });
  assert.equal(first.run.conclusion, 'success', JSON.stringify(first.logs));
  assert.ok(phasesOf(first).includes('kernel'), phasesOf(first).join());
  while (
    !existsSync(snapshots) ||
    !readdirSync(snapshots).some((name) => !name.startsWith('draft'))
  ) {
    assert.deepEqual(warnings, []);
    await sleep(50);
  }
  const runs = [
    await constellation.start({ workflow: job('hostname; touch mine') }),
    await constellation.start({ workflow: job('hostname; test ! -e mine') }),
  ];
  const names = new Set<string>();
  for (const run of runs) {
    const ended = await constellation.ended(run);
    assert.equal(ended.run.conclusion, 'success', JSON.stringify(ended.logs));
    assert.ok(phasesOf(ended).includes('restore'), phasesOf(ended).join());
    assert.match(ended.run.jobs[0]?.driverNote ?? '', /; restored from a machine snapshot$/);
    names.add(ended.logs['one']?.find(({ text }) => /^sb[0-9a-f]{16}$/.test(text))?.text ?? '');
  }
  assert.equal(names.size, 2, 'each has a name of its own');
  assert.ok(!names.has(''));
  assert.deepEqual(warnings, []);
});

test('an agent that is stopped while it makes a snapshot leaves nothing of it', async () => {
  await rm(snapshots, { recursive: true });
  let sandboxes = '';
  {
    await using constellation = await startConstellation({
      driver: 'qemu',
      agent: { cacheDirectory },
    });
    sandboxes = join(constellation.agentDirectory, 'sandboxes');
    const { run } = await constellation.run({ workflow: job('hostname') });
    assert.equal(run.conclusion, 'success');
    while (readdirSync(sandboxes).length === 0) {
      assert.equal(existsSync(snapshots) && readdirSync(snapshots).length > 0, false, 'too late');
      await sleep(5);
    }
    await constellation.agent?.[Symbol.asyncDispose]();
    assert.deepEqual(readdirSync(sandboxes), []);
    assert.deepEqual(readdirSync(join(constellation.agentDirectory, 'journals')), []);
  }
  assert.deepEqual(existsSync(snapshots) ? readdirSync(snapshots) : [], []);
});

test('with snapshots off every job is booted, and none is made', async () => {
  const agent = { cacheDirectory, snapshots: false };
  await using constellation = await startConstellation({ driver: 'qemu', agent });
  const ended = await constellation.run({ workflow: job('hostname') });
  assert.ok(phasesOf(ended).includes('kernel'));
  assert.equal(existsSync(snapshots) ? readdirSync(snapshots).length : 0, 0);
});

test('behind a job a machine waits, the next job gets it, and a dead one is given to nobody', async () => {
  const agent = { cacheDirectory, pool: { maximum: 1 } };
  await using constellation = await startConstellation({ driver: 'qemu', agent });
  const { agentDirectory } = constellation;
  const waits = async (): Promise<true> =>
    await eventually('a machine waits', () => constellation.agent?.waiting() === 1 || undefined);
  const first = await constellation.run({ workflow: job('hostname; touch /tmp/mine') });
  assert.doesNotMatch(first.run.jobs[0]?.driverNote ?? '', /waited/);
  await waits();
  const second = await constellation.run({
    workflow: job('hostname; test ! -e /tmp/mine; date +%s'),
  });
  assert.equal(second.run.conclusion, 'success', JSON.stringify(second.logs));
  assert.match(second.run.jobs[0]?.driverNote ?? '', /; it waited for a job$/);
  assert.deepEqual(phasesOf(second).toSorted(), ['adopt', 'hello']);
  const seconds = Number(second.logs['one']?.find(({ text }) => /^\d{10}$/.test(text))?.text);
  assert.ok(Math.abs(seconds - Date.now() / 1000) < 60, 'it knows what time it is');
  await waits();
  const [monitor] = ofSandboxes(agentDirectory).filter((one) => one.includes('qemu-system'));
  process.kill(Number(/^process (\d+)/.exec(monitor ?? '')?.[1]), 'SIGKILL');
  const third = await constellation.run({ workflow: job('hostname') });
  assert.equal(third.run.conclusion, 'success', JSON.stringify(third.logs));
  await constellation.agent?.[Symbol.asyncDispose]();
  await assertBuried(agentDirectory);
});

test('who wants to look at the files of a job gets them, also where a machine waited', async () => {
  const agent = { cacheDirectory, pool: { maximum: 1 } };
  await using constellation = await startConstellation({ driver: 'qemu', agent });
  await constellation.run({ workflow: job('hostname') });
  await eventually('a machine waits', () => constellation.agent?.waiting() === 1 || undefined);
  const ended = await constellation.run({ workflow: job('hostname'), keepSandbox: true });
  assert.equal(ended.run.conclusion, 'success', JSON.stringify(ended.logs));
  assert.match(ended.run.jobs[0]?.notes.join() ?? '', /files are kept in/);
});
