import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { makeCheckout } from '@onejob/testing';
import { CommandLine, type StartedCommand } from './_command-line.ts';

const checkout = makeCheckout({
  '.github/workflows/noisy.yml': `name: noisy
on: release
jobs:
  noisy:
    runs-on: ubuntu-latest
    steps:
      - run: for n in $(seq 1 3000); do echo "still talking"; sleep 0.1; done
`,
  '.github/workflows/quick.yml': `name: quick
on: [pull_request]
jobs:
  quick: { runs-on: ubuntu-latest, steps: [{ run: echo quick }] }
`,
});
after(async () => await checkout[Symbol.asyncDispose]());
const place = { directory: checkout.directory };
const RUN = ['run', '--driver', 'process'];

/** Every test: nothing of the run is on the host when the command has ended. */
async function endedWith(line: CommandLine, command: StartedCommand, code: number) {
  const ended = await command.ended;
  assert.equal(ended.code, code, `${ended.signal}\n${ended.stdout}${ended.stderr}`);
  assert.deepEqual(line.sandboxes(), []);
  assert.deepEqual(line.processes(), []);
  return ended;
}

test('a reader that goes away ends the run as Ctrl-C does', async () => {
  await using line = await CommandLine.prepared();
  const command = line.start([...RUN, '-e', 'release'], place);
  await command.saw(/still talking/);
  command.child.stdout?.destroy();
  const { stderr } = await endedWith(line, command, 130);
  assert.doesNotMatch(stderr, /EPIPE|at .*\.ts/);
});

test('a reader of list and logs that goes away is no error', async () => {
  await using line = await CommandLine.prepared();
  await line.run([...RUN, '-e', 'pull_request'], place);
  for (const words of [['list'], ['logs'], ['logs', '--json'], ['list', '--json']]) {
    const command = line.start(words, place);
    command.child.stdout?.destroy();
    const { stderr } = await endedWith(line, command, 0);
    assert.equal(stderr, '');
  }
});

test('a reader of help that goes away is no error', async () => {
  await using line = await CommandLine.prepared();
  for (const words of [['--help'], ['run', '--help'], ['help', 'run']]) {
    const command = line.start(words, place);
    command.child.stdout?.destroy();
    const { stderr } = await endedWith(line, command, 0);
    assert.equal(stderr, '');
  }
});
