/** The largest event, and tasks that are larger than their link carries. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EVENT_PAYLOAD_BYTES, TASK_BYTES } from '@onejob/protocol';
import { TestAgent } from './_agent.ts';
import { Platform, RUN } from './_platform.ts';

const ONE_JOB = `on: push
jobs: { build: { runs-on: ubuntu-latest, steps: [{ run: 'true' }] } }
`;
/** Written as it stands: the types do not know it yet. */
const { rawJSON } = JSON as unknown as { rawJSON: (text: string) => unknown };
/** Numbers that have five bytes in a request, and 22 in the JSON of a task. */
const shortNumbers = (count: number): unknown[] =>
  Array.from<unknown>({ length: count }).fill(rawJSON('1e20'));
const FRAME = '{"text":""}'.length;

test('the largest payload is in its task; one byte more is refused with the limit', async () => {
  await using platform = await Platform.start();
  const agent = await TestAgent.announce(platform);
  const sha = await platform.snapshot({ '.github/workflows/ci.yml': ONE_JOB });
  const text = 'x'.repeat(EVENT_PAYLOAD_BYTES - FRAME);
  const request = (payload: object): object => ({ ...RUN, sha, event: { name: 'push', payload } });
  const refused = await platform.api('POST', '/runs', request({ text: `${text}x` }));
  assert.equal(refused.status, 413, refused.text);
  assert.match(
    refused.text,
    /payload has 26214401 bytes as JSON, and may have 26214400; leave out/,
  );
  // Few bytes of a request, many of a task.
  const blown = await platform.api('POST', '/runs', request({ list: shortNumbers(2_000_000) }));
  assert.equal(blown.status, 413);
  assert.match(blown.text, /payload has 44000010 bytes as JSON/);
  assert.equal((await platform.api('POST', '/runs', request({ text }))).status, 201);
  const { task } = await agent.start();
  assert.equal(task?.problem, undefined);
  assert.deepEqual(task?.contexts.github['event'], { text });
});

test('a task that is too large in all is its own refusal, which names the largest part', async () => {
  await using platform = await Platform.start();
  const agent = await TestAgent.announce(platform);
  const sha = await platform.snapshot({ '.github/workflows/ci.yml': ONE_JOB });
  const secret = 'tiger-in-the-tank';
  await platform.createRuns({
    sha,
    secrets: { S: secret },
    event: { name: 'push', payload: { list: shortNumbers(1_100_000) } },
    vars: { LARGE: 'y'.repeat(TASK_BYTES - 22 * 1_100_000) },
  });
  const leased = await agent.take();
  const answer = await leased.adopt();
  assert.ok(answer.task.length < 10_000, `${answer.task.length}`);
  const { task } = leased;
  assert.match(
    task?.problem ?? '',
    /^\.github\/workflows\/ci\.yml: job 'build' cannot be started: what it is given has \d{8} bytes, and may have 41943040\. The largest part is the payload of its event \(24200010 bytes\)/,
  );
  assert.deepEqual([task?.secrets, task?.job.steps, task?.contexts.vars], [{}, [], {}]);
  assert.ok(answer.maskValues.includes(secret));
});
