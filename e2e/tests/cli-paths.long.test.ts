/** `paths` on the user's machine: what is not committed counts, else the last commit does. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Plan } from '@onejob/protocol';
import { makeCheckout } from '@onejob/testing';
import { CommandLine } from './_command-line.ts';

const job = 'jobs: { a: { runs-on: ubuntu-latest, steps: [{ run: echo ran }] } }\n';
const filter = "{ paths: ['docs/**'] }";
const checkout = makeCheckout({
  '.github/workflows/docs.yml': `on: { push: ${filter}, pull_request: ${filter} }\n${job}`,
  '.github/workflows/code.yml': `on: { push: { paths-ignore: ['docs/**'] } }\n${job}`,
});
const line = await CommandLine.prepared();
after(async () => {
  await checkout[Symbol.asyncDispose]();
  await line[Symbol.asyncDispose]();
});
const place = { directory: checkout.directory };

async function starts(...words: string[]): Promise<string[]> {
  const { code, stdout, stderr } = await line.run(['run', '--list', '--json', ...words], place);
  assert.equal(code, 0, stdout + stderr);
  const started = (JSON.parse(stdout) as Plan).workflows.filter((one) => one.triggered);
  return started.map((one) => one.file.replace(/^.*\/|\.yml$/g, ''));
}

test('a first commit brings everything; then the last one counts, until something is changed', async () => {
  assert.deepEqual(await starts(), ['code']);
  checkout.write('docs/a.md', 'words');
  assert.deepEqual(await starts(), ['docs']);
  checkout.git('add', '--all');
  checkout.git('commit', '--quiet', '-m', 'words');
  assert.deepEqual(await starts(), ['docs']);
  assert.deepEqual(await starts('-e', 'pull_request'), ['docs']);
  checkout.write('src/main.c', 'code');
  assert.deepEqual(await starts(), ['code']);
  assert.deepEqual(await starts('-e', 'pull_request'), []);
  checkout.write('docs/a.md', 'other words');
  assert.deepEqual(await starts(), ['code', 'docs']);
});

test('a run says of a workflow that does not start which paths it asks for', async () => {
  checkout.git('stash', '--quiet', '--include-untracked');
  checkout.write('src/other.c', 'code');
  const { code, stdout } = await line.run(['run', '--driver', 'process'], place);
  assert.equal(code, 0, stdout);
  assert.match(stdout, /docs\.yml does not run: no changed file passes `paths` \('docs\/\*\*'\)/);
  assert.match(stdout, /\[a\] \| ran/);
});
