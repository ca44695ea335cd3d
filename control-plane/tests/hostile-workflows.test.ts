/** A workflow file that takes seconds to refuse takes them from nobody else; a huge one is not read. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { ErrorBody } from '@onejob/protocol';
import { Platform, RUN } from './_platform.ts';

const FILE = '.github/workflows/ci.yml';
/** As many mistakes as a file may have tokens: a second of work. */
const HOSTILE = `on: [${','.repeat(299_000)}]\n`;

test('the API answers while a hostile workflow is read, which is then refused', async () => {
  await using platform = await Platform.start();
  const sha = await platform.snapshot({ [FILE]: HOSTILE });
  let isRead = false;
  const refusals = Promise.all(
    ['/plan', '/runs'].map(async (path) => await platform.api('POST', path, { ...RUN, sha })),
  ).finally(() => (isRead = true));
  // A control plane that reads in its own thread would answer before and after, and no more.
  let answers = 0;
  while (!isRead) {
    assert.equal((await platform.api('GET', '/health')).status, 200);
    answers += 1;
  }
  for (const { status, body } of await refusals) {
    assert.equal(status, 422);
    const { error } = body as ErrorBody;
    assert.equal(error.code, 'invalid_workflow');
    assert.match(
      error.message,
      /ci\.yml:1:\d+: (You have an error in your yaml syntax|The workflow file takes more than)/,
    );
  }
  assert.ok(answers > 10, `${answers} answers`);
  assert.deepEqual(platform.faults, []);
});

test('a workflow beyond 1 MiB is refused by its real size, unread', async () => {
  await using platform = await Platform.start();
  const text = `on: push\n#${'é'.repeat(5_000_000)}`;
  const sha = await platform.snapshot({ [FILE]: text, 'elsewhere.yml': text });
  for (const workflows of [[], ['elsewhere.yml']]) {
    const { status, body } = await platform.api('POST', '/plan', { ...RUN, sha, workflows });
    assert.equal(status, 422);
    assert.match(
      (body as ErrorBody).error.message,
      /\.yml:1:1: The workflow file has 10000010 bytes; the maximum is 1048576 .*Split it/,
    );
  }
});
