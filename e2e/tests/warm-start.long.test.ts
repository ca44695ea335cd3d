/** Whole jobs on machines that are restored from a machine snapshot, which the agent made of its own accord. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
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

type SeenJob = { conclusion: string; phases: object; note: string; log: string[] };

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

test('machines with a network of their own are restored too, and each has its own', async (t) => {
  const tools = ['/usr/sbin/nft', '/usr/sbin/conntrack', '/dev/net/tun'];
  if (process.getuid?.() !== 0 || !tools.every((path) => existsSync(path))) {
    return t.skip('it takes root, nftables and conntrack');
  }
  await rm(snapshots, { recursive: true, force: true });
  const own = ['--net', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc'];
  const programs = ['_public-place.ts', process.execPath, '_warm-network.ts', cacheDirectory];
  const { status, stdout, stderr } = spawnSync('unshare', [...own, process.execPath, ...programs], {
    cwd: import.meta.dirname,
    encoding: 'utf8',
    timeout: 240_000,
  });
  assert.equal(status, 0, stdout + stderr);
  assert.match(stderr, /^left: nothing$/m);
  const jobs = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as SeenJob);
  const phases = jobs.map((seen) => ('restore' in seen.phases ? 'restored' : 'booted'));
  assert.deepEqual(phases, ['booted', 'restored', 'restored'], stdout);
  for (const { conclusion, note, log } of jobs) {
    assert.equal(conclusion, 'success', log.join('\n'));
    assert.match(note, /QEMU/);
    const said = log.join('\n');
    assert.match(said, /^first\.example\.org at ::ffff:93\.184\.215\.14 for ::ffff:192\.0\.2\.9$/m);
    assert.match(said, /^second\.example\.org at 2606:4700::1111 for 2001:db8:9::9$/m);
    for (const closed of ['169.254.169.254', '172.31.0.1', '192.0.2.9', '[fd00:ec2::254]']) {
      assert.ok(log.includes(`${closed}: 7`), said);
    }
  }
  const random = jobs.map(({ log }) => log.find((text) => /^( [0-9a-f]{2}){16}$/.test(text)));
  assert.equal(new Set(random).size, 3);
  assert.ok(!random.includes(undefined));
});
