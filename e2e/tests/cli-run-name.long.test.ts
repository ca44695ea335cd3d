/** What a run is called is shown where runs are shown: at its beginning, at its end, in the list. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { makeCheckout } from '@onejob/testing';
import { CommandLine } from './_command-line.ts';

const job = 'jobs: { a: { runs-on: ubuntu-latest, steps: [{ run: echo ran }] } }\n';
const checkout = makeCheckout({
  '.github/workflows/ci.yml': `name: ci\non: push\n${job}`,
  '.github/workflows/release.yml': `name: release
run-name: Release \${{ inputs.version }} by \${{ github.actor }}
on: { workflow_dispatch: { inputs: { version: { required: true } } } }
${job}`,
});
const line = await CommandLine.prepared();
after(async () => {
  await checkout[Symbol.asyncDispose]();
  await line[Symbol.asyncDispose]();
});
const place = { directory: checkout.directory };
const RUN = ['run', '--driver', 'process'];

test('a push is called by the title of its commit, at the beginning and at the end', async () => {
  checkout.git('commit', '--quiet', '--allow-empty', '-m', 'Fix the table\n\nIts legs, too.');
  const { code, stdout } = await line.run(RUN, place);
  assert.equal(code, 0, stdout);
  assert.match(stdout, /^ci · run 1 · Fix the table$/m);
  assert.match(stdout, /^ci · run 1 · success · Fix the table$/m);
});

test('a dispatch is called as its workflow says, on a terminal and in the list', async () => {
  const words = [...RUN, '-e', 'workflow_dispatch', '--input', 'version=2.0'];
  const { stdout } = await line.onTerminal(words, place).ended;
  assert.match(stdout, /release\S* · run 2 · Release 2\.0 by \S.*\r?\n/);
  const { stdout: listed } = await line.run(['list'], place);
  assert.match(listed, /#2 +release +workflow_dispatch +success .* Release 2\.0 by \S/);
  assert.match(listed, /#1 +ci +push +success .* Fix the table$/m);
});
