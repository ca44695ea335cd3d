import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Run } from '@onejob/protocol';
import { makeCheckout } from '@onejob/testing';
import { CommandLine, jsonLines } from './_command-line.ts';

const checkout = makeCheckout({
  '.github/workflows/ci.yml': `name: ci
on: push
jobs:
  kernel:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: |
          echo "kernel $(uname -r), $(ls /sys/class/net | tr '\\n' ' ')"
          cat note.txt; echo
          echo "npm $(npm --version)"
      - uses: actions/upload-artifact@v4
        with: { path: note.txt }
  slow:
    runs-on: ubuntu-latest
    steps: [{ run: 'echo asleep; sleep 300' }]
`,
  'note.txt': 'from the checkout',
});
const line = await CommandLine.prepared();
after(async () => {
  await checkout[Symbol.asyncDispose]();
  await line[Symbol.asyncDispose]();
});
const place = { directory: checkout.directory };

before(async () => {
  const { code, stdout, stderr } = await line.run(['image', 'build']);
  assert.equal(code, 0, stderr);
  assert.match(stdout, /kernel \d.*Node v?24.* packages/);
});

test('without a flag a job runs in a machine with its own kernel', async () => {
  const { code, stdout } = await line.run(['run', '-j', 'kernel', '--json'], place);
  assert.equal(code, 0, stdout);
  const end = jsonLines<{ type: string; runs: Run[] }>(stdout).at(-1);
  const [job] = end?.runs[0]?.jobs ?? [];
  assert.equal(job?.driver, 'qemu');
  const log = await line.run(['logs', 'latest', 'kernel'], place);
  assert.match(log.stdout, /^kernel \d+\.\d+.*, lo $/m);
  assert.match(log.stdout, /^from the checkout$/m);
  assert.match(log.stdout, /^npm 11\.\d+\.\d+$/m);
  assert.match(log.stdout, /^Artifact artifact has been successfully uploaded!/m);
});

test('Ctrl-C twice leaves no machine', async () => {
  const command = line.start(['run', '--driver', 'qemu', '-j', 'slow'], place);
  await command.saw(/\| asleep/);
  command.child.kill('SIGINT');
  await command.saw(/Cancelling/);
  command.child.kill('SIGINT');
  assert.equal((await command.ended).code, 130);
  assert.deepEqual([line.processes(), line.sandboxes()], [[], []]);
});
