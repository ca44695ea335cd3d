import assert from 'node:assert/strict';
import { PassThrough } from 'node:stream';
import { test } from 'node:test';
import { makeJob, makeRows, makeRun } from './_run.ts';
import { painter } from './style.ts';
import { drawLiving, treeView } from './tree-view.ts';
import { cells } from './width.ts';

const plain = painter(false);
const tail = (some: Parameters<typeof makeJob>[0], rows: string[] = []) => {
  const job = makeJob(some);
  return { job, name: job.name, rows };
};

test('the living part never needs more than the terminal has', () => {
  const living = [
    ...Array.from({ length: 9 }, (_, index) =>
      tail({ name: `${index} ${'long '.repeat(30)}`, state: 'running', adoptedAtMs: 0 }, [
        'x'.repeat(500),
        '日本'.repeat(100),
        'tab\there',
        '\x1b[31mred\x1b[2J',
        'last',
      ]),
    ),
    ...Array.from({ length: 300 }, (_, index) => tail({ name: `waits ${index}`, state: 'queued' })),
  ];
  for (const columns of [11, 20, 40, 80, 300]) {
    for (const rows of [2, 5, 10, 24, 100]) {
      const lines = drawLiving(plain, living, { columns, rows }, 5000);
      assert.ok(lines.length < rows, `${lines.length} lines on ${rows} rows`);
      for (const line of lines) {
        assert.ok(cells(line) < columns, `${cells(line)} cells in ${columns}: ${line}`);
        assert.doesNotMatch(line, /[\x00-\x1f]/);
      }
    }
  }
});

test('jobs that work come first with their last rows, jobs that wait are counted', () => {
  const living = [
    ...Array.from({ length: 20 }, (_, index) => tail({ name: `waits ${index}`, state: 'queued' })),
    tail({ name: 'works', state: 'running', adoptedAtMs: 1000 }, ['1', '2', '3', '4', '5', '6']),
  ];
  const lines = drawLiving(plain, living, { columns: 80, rows: 13 }, 3500);
  assert.deepEqual(lines, [
    '● works  running  2.5s',
    '    3',
    '    4',
    '    5',
    '    6',
    '· waits 0  queued',
    '· waits 1  queued',
    '· waits 2  queued',
    '· and 17 more jobs that wait',
  ]);
});

function fakeTerminal(): { stream: NodeJS.WriteStream; written: () => string } {
  const chunks: Buffer[] = [];
  const stream = new PassThrough() as unknown as NodeJS.WriteStream;
  (stream as unknown as PassThrough).on('data', (chunk: Buffer) => chunks.push(chunk));
  Object.assign(stream, { columns: 80, rows: 24, isTTY: true });
  return { stream, written: () => Buffer.concat(chunks).toString() };
}

test('a failed job leaves its last rows on the screen, a good one its line', async () => {
  const { stream, written } = fakeTerminal();
  const view = treeView(stream, false);
  const bad = makeJob({ id: 'bad', name: 'bad', state: 'running' });
  const good = makeJob({ id: 'good', name: 'good', state: 'running' });
  const run = makeRun([bad, good]);
  view.begin([run]);
  view.event({ type: 'run', run });
  const texts = Array.from({ length: 40 }, (_, index) => `row ${index}`);
  view.event({ type: 'log', jobId: 'bad', offset: 0, rows: makeRows(...texts) });
  view.event({ type: 'log', jobId: 'good', offset: 0, rows: makeRows('not shown again') });
  view.event({ type: 'job', job: { ...good, state: 'finished', conclusion: 'success' } });
  view.event({ type: 'job', job: { ...bad, state: 'finished', conclusion: 'failure' } });
  view.close();
  view.finish([]);
  const text = written();
  assert.match(text, /✗ bad {2}failure\n {4}row 15\n/);
  assert.match(text, /row 39/);
  assert.doesNotMatch(text, /row 14\n/);
  assert.match(text, /✓ good {2}success\n/);
  assert.doesNotMatch(text, /not shown again\n/);
});

test('a job that calls a workflow is gone when the called jobs come', async () => {
  const { stream, written } = fakeTerminal();
  const view = treeView(stream, false);
  const caller = makeJob({ id: 'caller', name: 'caller', state: 'waiting' });
  const called = makeJob({ id: 'called', name: 'caller / called', state: 'queued' });
  const run = makeRun([caller]);
  view.event({ type: 'run', run });
  await new Promise((resolve) => setTimeout(resolve, 250));
  assert.match(written(), /· caller {2}waiting/);
  view.event({ type: 'run', run: { ...run, jobs: [called] } });
  const before = written().length;
  // Everything that still lives is drawn again below what has ended.
  view.event({ type: 'job', job: { ...called, state: 'finished', conclusion: 'success' } });
  const after = written().slice(before);
  view.close();
  assert.match(after, /✓ caller \/ called {2}success/);
  assert.doesNotMatch(after, /· caller {2}waiting/);
});

test('after it is closed the tree writes nothing more and listens to nothing', () => {
  const { stream, written } = fakeTerminal();
  const listeners = stream.listenerCount('resize');
  const view = treeView(stream, true);
  view.event({ type: 'run', run: makeRun([makeJob()]) });
  view.close();
  const before = written();
  view.close();
  assert.equal(stream.listenerCount('resize'), listeners);
  assert.equal(
    written()
      .slice(before.length)
      .replaceAll(/\x1b\[\??\d+[a-zA-Z]/g, ''),
    '',
  );
});
