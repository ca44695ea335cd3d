/** `onejob run --watch` in front of somebody who edits files. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { makeCheckout } from '@onejob/testing';
import { CommandLine, type StartedCommand } from './_command-line.ts';

const workflow = (script: string): string => `name: ci
on: push
jobs:
  show:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: ${script}
`;
const FILE = '.github/workflows/ci.yml';
const checkout = makeCheckout({
  '.gitignore': '*.log\n',
  'note.txt': 'first',
  [FILE]: workflow('cat note.txt'),
});
const line = await CommandLine.prepared();
after(async () => {
  await checkout[Symbol.asyncDispose]();
  await line[Symbol.asyncDispose]();
});
const directory = checkout.directory;
const scratch = join(line.data, '..', 'scratch');
mkdirSync(scratch);

const start = (...words: string[]): StartedCommand =>
  line.start(['run', '--watch', '--driver', 'process', ...words], {
    directory,
    environment: { TMPDIR: scratch },
  });
const count = (command: StartedCommand, pattern: RegExp): number =>
  command.output.match(new RegExp(pattern, 'gm'))?.length ?? 0;

test('each change of a file runs once more, an ignored one does not, and Ctrl-C ends with nothing left', async () => {
  const command = start();
  await command.saw(/^\[show\] \| first[^]*^Waiting for changes/m);
  checkout.write('build.log', 'noise');
  checkout.write('note.txt', 'second');
  checkout.write('other.txt', 'x');
  await command.saw(/^Changed: note\.txt, other\.txt; running again\.$/m);
  await command.saw(/^\[show\] \| second[^]*^Waiting for changes/m);
  checkout.write('build.log', 'more noise');
  checkout.write('note.txt', 'third');
  await command.saw(/^\[show\] \| third[^]*^Waiting for changes/m);
  assert.equal(count(command, /^Waiting for changes/), 3);
  command.child.kill('SIGINT');
  const { code, stdout } = await command.ended;
  assert.equal(code, 0);
  assert.equal(stdout.match(/^✓ show/gm)?.length, 3, stdout);
  assert.deepEqual(readdirSync(scratch), []);
});

test('a change while it runs cancels the run, and Ctrl-C while it runs ends with 130', async () => {
  checkout.write(FILE, workflow('echo begun && sleep 100'));
  const command = start();
  await command.saw(/^\[show\] \| begun/m);
  checkout.write('note.txt', 'fourth');
  await command.saw(/^Changed: note\.txt; cancelling this run\.$/m);
  await command.saw(/^\[show\] cancelled[^]*^\[show\] \| begun/m);
  command.child.kill('SIGINT');
  const { code, stdout } = await command.ended;
  assert.equal(code, 130);
  assert.equal(stdout.match(/^⊘ show +cancelled/gm)?.length, 2, stdout);
  assert.deepEqual(readdirSync(scratch), []);
});
