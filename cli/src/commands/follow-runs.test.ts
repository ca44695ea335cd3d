import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { Job, Run, RunStreamEvent } from '@onejob/protocol';
import { ApiClient } from '../api-client.ts';
import { CliError } from '../errors.ts';
import { makeJob, makeRows, makeRun } from '../show/_run.ts';
import type { RunView } from '../show/run-view.ts';
import { followRuns } from './follow-runs.ts';
import { Interrupts } from './interrupt.ts';

type Answers = {
  /** One stream each time it is asked for; the last one again after that. */
  streams: ((send: (event: RunStreamEvent) => void, answer: ServerResponse) => void)[];
  /** What the run is when asked for. */
  run: () => Run | undefined;
};

/** The far side: a server that speaks the API's few words which are asked for here. */
async function follow(answers: Answers) {
  await using undo = new AsyncDisposableStack();
  const directory = mkdtempSync(join(tmpdir(), 'onejob-test-follow-'));
  undo.defer(() => rmSync(directory, { recursive: true }));
  let streams = 0;
  const server = createServer((request, answer) => {
    if (request.url?.includes('/events') === true) {
      const stream = answers.streams[Math.min(streams, answers.streams.length - 1)];
      streams += 1;
      const send = (event: RunStreamEvent): void =>
        void answer.write(`data: ${JSON.stringify(event)}\n\n`);
      return stream?.(send, answer);
    }
    const run = answers.run();
    if (run === undefined) return void request.socket.destroy();
    answer.end(JSON.stringify(run));
  });
  const socketPath = join(directory, 's');
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  undo.defer(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });
  const shown: string[] = [];
  const view: RunView = {
    begin: () => {},
    event: (event) => shown.push(describe(event)),
    say: (line) => shown.push(`say ${line}`),
    warn: ({ message }) => shown.push(`warn ${message}`),
    close: () => shown.push('closed'),
    finish: () => {},
  };
  using interrupts = undo.use(new Interrupts());
  const following = {
    api: new ApiClient(socketPath, 'token'),
    view,
    interrupts,
    broken: undefined,
  };
  const ended = await followRuns(following, [makeRun([])]).catch((error: unknown) => error);
  return { ended, shown };
}

const describe = (event: RunStreamEvent): string => {
  if (event.type === 'log')
    return `log ${event.offset} ${event.rows.map((row) => row.text).join()}`;
  if (event.type === 'job') return `job ${event.job.state}`;
  return `run ${event.run.state}`;
};
const log = (offset: number, ...texts: string[]): RunStreamEvent => ({
  type: 'log',
  jobId: 'job-1',
  offset,
  rows: makeRows(...texts),
});
const end = (rows: number): Job =>
  makeJob({
    state: 'finished',
    conclusion: 'success',
    log: { rows, sealed: false, missingRows: 0 },
  });
const finished = makeRun([end(3)], { state: 'finished', conclusion: 'success' });

test('the end of a job is shown after its last row, though it is told before', async () => {
  const { ended, shown } = await follow({
    streams: [
      (send, answer) => {
        send({ type: 'job', job: makeJob({ state: 'running' }) });
        send(log(0, 'a'));
        send({ type: 'job', job: end(3) });
        send(log(1, 'b'));
        send(log(2, 'c'));
        send({ type: 'run', run: finished });
        answer.end();
      },
    ],
    run: () => finished,
  });
  assert.deepEqual(shown, [
    'job running',
    'log 0 a',
    'log 1 b',
    'log 2 c',
    'job finished',
    'run finished',
    'closed',
  ]);
  assert.deepEqual(ended, [finished]);
});

test('a stream that breaks off is taken up again, and no row comes twice', async () => {
  let isOver = false;
  const { shown } = await follow({
    streams: [
      (send, answer) => {
        send(log(0, 'a', 'b'));
        setImmediate(() => answer.destroy());
      },
      (send, answer) => {
        send(log(0, 'a', 'b', 'c'));
        isOver = true;
        send({ type: 'run', run: finished });
        answer.end();
      },
    ],
    run: () => (isOver ? finished : makeRun([])),
  });
  assert.deepEqual(shown, ['log 0 a,b', 'log 2 c', 'run finished', 'closed']);
});

test('rows that never arrive do not hold the end back', async () => {
  const { shown } = await follow({
    streams: [
      (send, answer) => {
        send({ type: 'job', job: end(9) });
        send({ type: 'run', run: finished });
        answer.end();
      },
    ],
    run: () => finished,
  });
  assert.deepEqual(shown, ['job finished', 'run finished', 'closed']);
});

test('a platform that is gone is said, with the exit code of the platform', async () => {
  const gone = await follow({
    streams: [(send, answer) => (send(log(0, 'a')), setImmediate(() => answer.destroy()))],
    run: () => undefined,
  });
  assert.ok(gone.ended instanceof CliError);
  assert.deepEqual([gone.ended.code, gone.ended.exitCode], ['platform_unreachable', 4]);
  assert.equal(gone.shown.at(-1), 'closed');
  const silent = await follow({
    streams: [(_, answer) => void answer.end()],
    run: () => makeRun([]),
  });
  assert.ok(silent.ended instanceof CliError);
});
