/** `onejob run --watch` while a workflow is being written: mistakes are told and waited out. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { makeCheckout } from '@onejob/testing';
import { checkRefusal, CommandLine, type StartedCommand } from './_command-line.ts';

const FILE = '.github/workflows/ci.yml';
const workflow = (script: string): string =>
  `on: push\njobs:\n  show: { runs-on: ubuntu-latest, steps: [{ run: ${script} }] }\n`;
const checkout = makeCheckout({ [FILE]: workflow('echo good') });
const line = await CommandLine.prepared();
after(async () => {
  await checkout[Symbol.asyncDispose]();
  await line[Symbol.asyncDispose]();
});
const start = (...words: string[]): StartedCommand =>
  line.start(['run', '--watch', '--driver', 'process', ...words], {
    directory: checkout.directory,
  });

test('a mistake in the workflow is told and waited out', async () => {
  const command = start('-j', 'show');
  await command.saw(/^\[show\] \| good[^]*^Waiting for changes/m);
  checkout.write(FILE, 'on: push\njobs: { show: { steps: [] } }\n');
  await command.saw(/ci\.yml:2:15: Required property is missing: runs-on/);
  checkout.write(FILE, workflow('echo renamed').replace('show:', 'shown:'));
  await command.saw(/No workflow has the job show\./);
  checkout.write(FILE, workflow('echo mended'));
  await command.saw(/^\[show\] \| mended[^]*^Waiting for changes/m);
  command.child.kill('SIGTERM');
  assert.equal((await command.ended).code, 0);
});

test('wrong flags end it at once', async () => {
  checkRefusal(await start('-j', 'nowhere').ended, 2, /No workflow has the job nowhere\./);
  checkRefusal(await start('--list').ended, 2, /--watch runs jobs again; --list/);
});
