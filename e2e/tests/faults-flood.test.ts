import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { LOG_JOB_BYTES, LOG_ROW_BYTES } from '@onejob/protocol';
import {
  assertBuried,
  checkHostAfterEach,
  listProcesses,
  peakMemoryBytes,
  spawnAgent,
  startConstellation,
} from '@onejob/testing';

const LINE_BYTES = 1_000_000_000;
/** A third of the line. What both take is under 200 MB, most of it Node's own. */
const MOST_MEMORY_BYTES = 350_000_000;

checkHostAfterEach();

test('a line of 1 GB without end passes runner and agent in constant memory, and the log says what was dropped', async () => {
  await using constellation = await startConstellation({ agent: false });
  const config = await constellation.agentProcessConfig();
  await using agent = spawnAgent(config);
  const run = await constellation.start({
    workflow: `
on: push
jobs:
  job:
    runs-on: ubuntu-latest
    steps:
      - run: |
          head -c ${LINE_BYTES} /dev/zero | tr '\\0' x
      - run: echo the job goes on
`,
  });
  let isOver = false;
  let runnerBytes = 0;
  const watch = async (): Promise<void> => {
    while (!isOver) {
      const runners = listProcesses().filter(
        ({ commandLine }) =>
          commandLine.includes(config.guestRunnerPath) && !commandLine.startsWith('setpriv'),
      );
      const peaks = runners.map(({ pid }) => peakMemoryBytes(pid));
      runnerBytes = Math.max(runnerBytes, ...peaks);
      await sleep(50);
    }
  };
  const [ended] = await Promise.all([
    constellation.ended(run).finally(() => (isOver = true)),
    watch(),
  ]);
  const agentBytes = peakMemoryBytes(agent.pid);
  assert.ok(runnerBytes > 0 && runnerBytes < MOST_MEMORY_BYTES, `runner: ${runnerBytes} bytes`);
  assert.ok(agentBytes > 0 && agentBytes < MOST_MEMORY_BYTES, `agent: ${agentBytes} bytes`);

  const [job] = ended.run.jobs;
  assert.deepEqual([job?.conclusion, job?.log.missingRows], ['success', 0]);
  const rows = ended.logs['job'] ?? [];
  assert.ok(rows.every(({ text }) => Buffer.byteLength(text) <= LOG_ROW_BYTES));
  const kept = rows.reduce((sum, { text }) => sum + (/^x+$/.test(text) ? text.length : 0), 0);
  assert.ok(kept > LOG_JOB_BYTES - 1024 * 1024 && kept <= LOG_JOB_BYTES, `kept ${kept}`);
  const dropped = Number(/: (\d+) bytes were dropped/.exec(rows.at(-1)?.text ?? '')?.[1]);
  // What is counted besides the line: ends of rows, and the rows of the second step.
  assert.ok(
    Math.abs(kept + dropped - LINE_BYTES) < 1024 * 1024,
    `kept ${kept}, dropped ${dropped}`,
  );
  await agent.stop();
  await assertBuried(constellation.agentDirectory);
});
