import assert from 'node:assert/strict';
import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { release, tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import type { Job, LogRow, Run } from '@onejob/protocol';
import {
  assertBuried,
  checkHostAfterEach,
  eventually,
  listProcesses,
  startConstellation,
  type Constellation,
  type EndedRun,
} from '@onejob/testing';

const GiB = 1024 ** 3;
/** What a job gets that asks for nothing. */
const SHAPE = { cpus: 2, memoryBytes: 2 * GiB, diskBytes: 8 * GiB };

let constellation: Constellation;
before(async () => {
  constellation = await startConstellation({ driver: 'qemu', agent: { cancelTimeoutMs: 10_000 } });
  await constellation.agent?.announced;
});
after(async () => await constellation[Symbol.asyncDispose]());
checkHostAfterEach();

type JobSpec = { script: string; timeoutMinutes?: number };

/** One run, a job each; as many boot at a time as there are cores. */
function workflowOf(jobs: Readonly<Record<string, JobSpec>>): string {
  const blocks = Object.entries(jobs).map(
    ([name, { script, timeoutMinutes = 10 }]) => `
  ${name}:
    runs-on: ubuntu-latest
    timeout-minutes: ${timeoutMinutes}
    steps:
      - run: |
${script.trim().replaceAll(/^ */gm, '          ')}
`,
  );
  return `on: push\njobs:${blocks.join('')}`;
}

async function runJobs(jobs: Readonly<Record<string, JobSpec>>): Promise<EndedRun> {
  return await constellation.run({ workflow: workflowOf(jobs) });
}

function jobNamed(run: Run, name: string): Job {
  const job = run.jobs.find((one) => one.name === name);
  assert.ok(job !== undefined);
  return job;
}

function assertEnded(run: Run, name: string, expected: [string, string], said: RegExp): void {
  const { conclusion, endReason, endMessage } = jobNamed(run, name);
  assert.deepEqual([conclusion, endReason], expected, `${name}: ${endMessage}`);
  assert.match(endMessage, said, name);
}

const textOf = (rows: readonly LogRow[] | undefined): string =>
  (rows ?? []).map(({ text }) => text).join('\n');

test('a machine has the processors, memory and disk of its shape, a kernel of its own, no network and nothing of its host', async () => {
  using hosts = mkdtempDisposableSync(join(tmpdir(), 'onejob-test-of-the-host-'));
  const canary = join(hosts.path, 'canary');
  writeFileSync(canary, 'of the host');
  const { run, logs } = await runJobs({
    facts: {
      script: `
        echo "cpus=$(nproc)"
        echo "memory_kb=$(sed -n 's/^MemTotal: *//p' /proc/meminfo | cut -d' ' -f1)"
        echo "disk_kb=$(df --output=size /work | tail -1 | tr -d ' ')"
        echo "kernel=$(uname -r)"
        echo "interfaces=$(ls /sys/class/net | tr '\\n' ' ')"
        echo "user=$(id -u)"
        echo "pid1=$(tr '\\0' ' ' < /proc/1/cmdline)"
        echo "processes=$(ls -d /proc/[0-9]* | wc -l)"
        if [ -e ${hosts.path} ]; then echo canary=seen; else echo canary=absent; fi
        echo "root_is=$(stat -f -c %T /)"
      `,
    },
  });
  assert.equal(run.conclusion, 'success', textOf(logs['facts']));
  const facts = new Map(
    (logs['facts'] ?? []).flatMap(({ text }): [string, string][] => {
      const found = /^(\w+)=(.*)$/.exec(text);
      return found === null ? [] : [[found[1]!, found[2]!]];
    }),
  );
  const bytes = (name: string): number => Number(facts.get(name)) * 1024;
  assert.equal(facts.get('cpus'), String(SHAPE.cpus));
  // The kernel keeps some memory for itself, the file system some of the disk.
  assert.ok(bytes('memory_kb') <= SHAPE.memoryBytes, `${bytes('memory_kb')}`);
  assert.ok(bytes('memory_kb') > 0.9 * SHAPE.memoryBytes, `${bytes('memory_kb')}`);
  assert.ok(bytes('disk_kb') <= SHAPE.diskBytes, `${bytes('disk_kb')}`);
  assert.ok(bytes('disk_kb') > 0.9 * SHAPE.diskBytes, `${bytes('disk_kb')}`);
  assert.match(facts.get('kernel') ?? '', /^\d+\.\d+/);
  assert.notEqual(facts.get('kernel'), release());
  assert.equal(facts.get('interfaces'), 'lo ');
  assert.equal(facts.get('user'), '0');
  assert.equal(facts.get('canary'), 'absent');
  assert.ok(Number(facts.get('processes')) < 100, 'its own processes only');
  await assertBuried(constellation.agentDirectory);
});

test('each way a job can break its own machine ends it with the reason that was observed, and blames the job', async () => {
  const { run } = await runJobs({
    memory: { script: 'tail /dev/zero' },
    disk: {
      // Nearly all of it at once, as the host's disk need not hold it; the rest byte by byte.
      script: `
        free="$(df --output=avail -B1 /work | tail -1)"
        fallocate -l "$((free - 16777216))" /work/fill
        dd if=/dev/zero of=/work/rest bs=1M status=none
      `,
    },
    rootdisk: { script: 'dd if=/dev/zero of=/var/fill bs=64M status=none' },
    runner: { script: 'kill -9 $PPID; sleep 1000' },
    poweroff: { script: 'echo o > /proc/sysrq-trigger; sleep 1000' },
    reboot: { script: 'echo b > /proc/sysrq-trigger; sleep 1000' },
    deadline: {
      script: "trap '' INT TERM; while true; do sleep 1000; done",
      timeoutMinutes: 0.1,
    },
    frozen: { script: 'kill -STOP $PPID; sleep 1000', timeoutMinutes: 0.1 },
  });
  assertEnded(run, 'memory', ['failure', 'out_of_memory'], /memory/);
  assertEnded(run, 'disk', ['failure', 'disk_full'], /disk .*is full/);
  assertEnded(run, 'runner', ['failure', 'runner_killed'], /runner/);
  assertEnded(run, 'poweroff', ['failure', 'runner_killed'], /went away/);
  assertEnded(run, 'reboot', ['failure', 'runner_killed'], /went away/);
  assertEnded(run, 'deadline', ['timed_out', 'deadline'], /time/);
  assertEnded(run, 'frozen', ['timed_out', 'deadline'], /machine was killed/);
  const { conclusion, endReason } = jobNamed(run, 'rootdisk');
  assert.equal(conclusion, 'failure');
  assert.ok(endReason === 'disk_full' || endReason === 'out_of_memory', String(endReason));
  await assertBuried(constellation.agentDirectory);
});

test("a machine monitor killed from outside loses the job, and the platform is blamed; its neighbour's job goes on", async () => {
  const run = await constellation.start({
    workflow: workflowOf({
      victim: { script: 'echo victim runs; sleep 1000' },
      neighbour: { script: 'echo neighbour runs; sleep 5; echo neighbour done' },
    }),
  });
  const victim = await eventually('the victim ran', async () => {
    const job = jobNamed(await constellation.api.run(run.id), 'victim');
    const { rows } = await constellation.api.log(job.id, 0);
    return rows.some(({ text }) => text === 'victim runs') ? job : undefined;
  });
  // Not what keeps its namespaces, which has the same words behind its own.
  const monitors = listProcesses().filter(
    ({ commandLine }) =>
      /^\S*qemu-system/.test(commandLine) && commandLine.includes(victim.sandboxId),
  );
  assert.equal(monitors.length, 1);
  process.kill(monitors[0]!.pid, 'SIGKILL');
  const ended = await constellation.ended(run);
  assertEnded(ended.run, 'victim', ['lost', 'vmm_died'], /SIGKILL.*platform's failure/s);
  assert.equal(jobNamed(ended.run, 'neighbour').conclusion, 'success');
  await assertBuried(constellation.agentDirectory);
});
