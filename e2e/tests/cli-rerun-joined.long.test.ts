import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { makeCheckout } from '@onejob/testing';
import { CommandLine } from './_command-line.ts';

const job = (script: string): string =>
  `jobs: { one: { runs-on: ubuntu-latest, steps: [{ run: '${script}' }] } }\n`;
const checkout = makeCheckout({
  '.github/workflows/ci.yml': `on: push\n${job('echo attempt $GITHUB_RUN_ATTEMPT')}`,
  '.github/workflows/slow.yml': `on: workflow_dispatch\n${job('echo asleep; sleep 300')}`,
});
const line = await CommandLine.prepared();
after(async () => {
  await checkout[Symbol.asyncDispose]();
  await line[Symbol.asyncDispose]();
});

test('a run is run again on the platform that another terminal owns', async () => {
  const here = { directory: checkout.directory };
  const run = ['run', '--driver', 'process'];
  const owner = line.start([...run, '-e', 'workflow_dispatch'], here);
  await owner.saw(/asleep$/m);
  assert.equal((await line.run(run, here)).code, 0);
  const { code, stdout, stderr } = await line.run(['rerun', '2'], here);
  const going = await line.run(['rerun', '1'], here);
  await line.run(['cancel', '1', '--kill'], here);
  assert.equal(code, 0, stdout + stderr);
  assert.match(stdout, /Joined the onejob/);
  assert.match(stdout, /^\[one\] \| attempt 2$/m);
  assert.equal(going.code, 3);
  assert.match(going.stderr, /Run 1 still goes on\. Wait for its end, or cancel it/);
  assert.equal((await owner.ended).code, 130);
});
