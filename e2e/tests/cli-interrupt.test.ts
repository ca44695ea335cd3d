import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { makeCheckout } from '@onejob/testing';
import { CommandLine, type StartedCommand } from './_command-line.ts';

const checkout = makeCheckout({
  '.github/workflows/slow.yml': `name: slow
on: push
jobs:
  sleeper:
    runs-on: ubuntu-latest
    steps:
      - run: |
          trap 'echo "cleaning"; exit 9' INT TERM
          echo "asleep as $$"
          for n in $(seq 1 3000); do sleep 0.1; done
      - if: always()
        run: echo "always runs"
  next:
    needs: sleeper
    runs-on: ubuntu-latest
    steps: [{ run: echo never }]
`,
  '.github/workflows/stubborn.yml': `name: stubborn
on: workflow_dispatch
jobs:
  stubborn:
    runs-on: ubuntu-latest
    steps:
      - run: |
          trap '' INT TERM
          echo "asleep as $$"
          for n in $(seq 1 3000); do sleep 0.1; done
`,
});
after(async () => await checkout[Symbol.asyncDispose]());
const place = { directory: checkout.directory };
const RUN = ['run', '--driver', 'process'];
const STUBBORN = [...RUN, '-e', 'workflow_dispatch'];
const ASLEEP = /asleep as \d+/;

/** Every test: nothing of the run is on the host when the command has ended. */
async function endedWith(line: CommandLine, command: StartedCommand, code: number) {
  const ended = await command.ended;
  assert.equal(ended.code, code, `${ended.signal}\n${ended.stdout}${ended.stderr}`);
  assert.deepEqual(line.sandboxes(), []);
  assert.deepEqual(line.processes(), []);
  return ended;
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  test(`${signal} cancels: clean-up steps run, what waits is cancelled, the code is 130`, async () => {
    await using line = await CommandLine.prepared();
    const command = line.start(RUN, place);
    await command.saw(ASLEEP);
    command.child.kill(signal);
    const { stdout } = await endedWith(line, command, 130);
    assert.match(stdout, /Cancelling/);
    assert.match(stdout, /\| cleaning$/m);
    assert.match(stdout, /\| always runs$/m);
    assert.match(stdout, /^\[next\] cancelled$/m);
    assert.match(stdout, /slow · run 1 · cancelled/);
  });
}

test('a second Ctrl-C kills what does not want to end', async () => {
  await using line = await CommandLine.prepared();
  const command = line.onTerminal(STUBBORN, place);
  await command.saw(ASLEEP);
  command.child.stdin?.write('\x03');
  await command.saw(/Cancelling/);
  command.child.stdin?.write('\x03');
  const { stdout } = await endedWith(line, command, 130);
  assert.match(stdout, /Killing every machine of this run/);
});

test('a third Ctrl-C does not wait for the answer, and still leaves nothing', async () => {
  await using line = await CommandLine.prepared();
  const command = line.start(STUBBORN, place);
  await command.saw(ASLEEP);
  for (const _ of [1, 2, 3]) command.child.kill('SIGINT');
  await endedWith(line, command, 130);
});

test('Ctrl-C before anything runs ends quietly', async () => {
  await using line = new CommandLine();
  const command = line.start(RUN, place);
  for (let isStarting = false; !isStarting;) {
    await new Promise((resolve) => setTimeout(resolve, 5));
    isStarting = line.hasData();
  }
  command.child.kill('SIGINT');
  const { stderr, stdout } = await endedWith(line, command, 130);
  assert.doesNotMatch(stdout + stderr, / at .*\.ts:\d+/);
});
