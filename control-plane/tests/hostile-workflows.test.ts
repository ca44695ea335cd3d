/** A workflow file that takes seconds to refuse takes them from nobody else; a huge one is not read. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { CreatedRuns, ErrorBody } from '@onejob/protocol';
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

test('a workflow whose bytes alone are too many is refused unread', async () => {
  await using platform = await Platform.start();
  const text = `on: push\n#${'é'.repeat(5_000_000)}`;
  const sha = await platform.snapshot({ [FILE]: text, 'elsewhere.yml': text });
  for (const workflows of [[], ['elsewhere.yml']]) {
    const { status, body } = await platform.api('POST', '/plan', { ...RUN, sha, workflows });
    assert.equal(status, 422);
    assert.match(
      (body as ErrorBody).error.message,
      /\.yml:1:1: The maximum file size of 1048576 characters has been exceeded\. Split it/,
    );
  }
});

test('a workflow whose plan would repeat a text for each leg of each job is refused', async () => {
  await using platform = await Platform.start();
  const legs = Array.from({ length: 256 }, (_, n) => n).join(', ');
  const strategy = `&s { matrix: { text: ['${'x'.repeat(20_000)}'], n: [${legs}] } }`;
  const job = (key: string, matrix: string) =>
    `  ${key}: { strategy: ${matrix}, runs-on: l, steps: [{ run: a }] }\n`;
  const more = Array.from({ length: 100 }, (_, n) => job(`j${n}`, '*s'));
  const text = `on: push\njobs:\n${job('first', strategy)}${more.join('')}`;
  const sha = await platform.snapshot({ [FILE]: text });
  const { status, body } = await platform.api('POST', '/plan', { ...RUN, sha });
  assert.equal(status, 413);
  assert.match(
    (body as ErrorBody).error.message,
    /more than 16 MiB of text to show\. Choose fewer/,
  );
});

test('the expressions of a run share what they may cost, so that legs and jobs do not multiply it', async () => {
  await using platform = await Platform.start();
  // Nearly all that one expression may make, for each of 256 legs.
  const eight = (text: string) => `format('${'{0}'.repeat(8)}', ${text})`;
  const text8 = eight(eight(eight(eight(`'${'aB'.repeat(500)}'`))));
  const legs = Array.from({ length: 256 }, (_, n) => n).join(', ');
  const label = `"\${{ contains(${text8}, 'zz') && 'a' || 'b' }}"`;
  const job = `{ strategy: { matrix: { n: [${legs}] } }, runs-on: ${label}, steps: [{ run: a }] }`;
  const sha = await platform.snapshot({ [FILE]: `on: push\njobs:\n  j: ${job}\n` });
  const tooMuch = /'runs-on' for job 'j'\. with those before it, the expression makes or searches/;
  const planned = await platform.api('POST', '/plan', { ...RUN, sha });
  assert.equal(planned.status, 422);
  assert.match((planned.body as ErrorBody).error.message, tooMuch);
  const started = await platform.api('POST', '/runs', { ...RUN, sha });
  const [ended] = (started.body as CreatedRuns).runs[0]?.jobs ?? [];
  assert.equal(ended?.endReason, 'invalid_expression');
  assert.match(ended.endMessage, tooMuch);
});
