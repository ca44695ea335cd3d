import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PARSES_WAITING } from '../limits.ts';
import { WorkflowParser } from './workflow-parser.ts';

const FILE = '.github/workflows/ci.yml';
const GOOD = { file: FILE, text: 'on: push\njobs: { a: { runs-on: x, steps: [{ run: a }] } }\n' };
/** As many mistakes as a file may have tokens: a second of work, and hundreds of megabytes. */
const HOSTILE = { file: FILE, text: `on: [${','.repeat(299_000)}]\n` };
const ROOMY = { ms: 60_000, mib: 1024 };
const never = new AbortController().signal;

const problemOf = async (parser: WorkflowParser, source: typeof GOOD): Promise<string> => {
  const { result } = await parser.parse(source);
  const [problem] = result.ok ? [] : result.problems;
  return problem === undefined ? 'none' : `${problem.file}:${problem.line}: ${problem.message}`;
};

test('files are parsed as they are without the thread, good ones and bad ones', async () => {
  await using parser = new WorkflowParser(never);
  parser.warm();
  const { result } = await parser.parse(GOOD);
  assert.ok(result.ok);
  assert.deepEqual(
    result.workflow.jobs.map((job) => job.key),
    ['a'],
  );
  const bad = { file: 'other.yml', text: 'on: push\n' };
  assert.equal(await problemOf(parser, bad), 'other.yml:1: Required property is missing: jobs');
});

test('this thread goes on while a hostile file is read', async () => {
  await using parser = new WorkflowParser(never, ROOMY);
  await parser.parse(GOOD);
  // Reading it in this thread would leave time for none.
  let turns = 0;
  const timer = setInterval(() => (turns += 1), 5);
  assert.match(await problemOf(parser, HOSTILE), /:1: You have an error in your yaml syntax/);
  clearInterval(timer);
  assert.ok(turns >= 5, `${turns} turns`);
});

test('a file over its time is refused by a sentence, and the next one is read', async () => {
  await using parser = new WorkflowParser(never, { ...ROOMY, ms: 150 });
  assert.match(
    await problemOf(parser, HOSTILE),
    /ci\.yml:1: The workflow file takes more than 0\.15 s of processor time to read, which is the limit/,
  );
  assert.equal(await problemOf(parser, GOOD), 'none');
});

test('a file over its memory is refused by a sentence, and the next one is read', async () => {
  await using parser = new WorkflowParser(never, { ...ROOMY, mib: 64 });
  assert.match(
    await problemOf(parser, HOSTILE),
    /ci\.yml:1: The workflow file takes more than 64 MiB of memory to read, which is the limit/,
  );
  assert.equal(await problemOf(parser, GOOD), 'none');
});

test('what earlier files left in the thread is not held against a later one', async () => {
  await using parser = new WorkflowParser(never, { ...ROOMY, mib: 400 });
  const names = Array.from({ length: 20_000 }, (_, number) => `  V${number}: some value of it`);
  const long = `${GOOD.text}env:\n${names.join('\n')}\n`;
  for (let round = 0; round < 4; round += 1) {
    await parser.parse(HOSTILE);
    assert.equal(await problemOf(parser, { file: FILE, text: long }), 'none');
  }
});

test('when the control plane stops, what is read and what waits ends at once', async () => {
  const stopping = new AbortController();
  const parser = new WorkflowParser(stopping.signal, ROOMY);
  const all = Promise.allSettled([HOSTILE, HOSTILE].map(async (one) => await parser.parse(one)));
  await new Promise((resolve) => setTimeout(resolve, 200));
  stopping.abort();
  const codes = (await all).map((one) =>
    one.status === 'rejected' ? (one.reason as { code?: string }).code : 'read',
  );
  await parser[Symbol.asyncDispose]();
  assert.deepEqual(codes, ['shutting_down', 'shutting_down']);
  await assert.rejects(parser.parse(GOOD), { code: 'shutting_down' });
});

test('more than may wait are turned away, those that wait get their turn', async () => {
  await using parser = new WorkflowParser(never);
  const waiting = Array.from({ length: PARSES_WAITING }, async () => await parser.parse(GOOD));
  await assert.rejects(parser.parse(GOOD), { code: 'overloaded', retryable: true });
  for (const { result } of await Promise.all(waiting)) assert.ok(result.ok);
  assert.ok((await parser.parse(GOOD)).result.ok);
});
