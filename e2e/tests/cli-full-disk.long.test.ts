import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { makeCheckout } from '@onejob/testing';
import { CommandLine, jsonLines } from './_command-line.ts';

const checkout = makeCheckout({
  '.github/workflows/full.yml': `name: full
on: create
jobs:
  f:
    runs-on: ubuntu-latest
    steps:
      - run: |
          head -c 200M /dev/zero >"$HOME/filler" || true
          head -c 20M /dev/urandom | base64 -w 1000
          sleep 300
`,
});
after(async () => await checkout[Symbol.asyncDispose]());

test('a disk that fills in mid-run ends the run with its sentence, and the JSON stays whole', async (t) => {
  await using line = new CommandLine();
  const disk = join(dirname(line.data), 'small');
  mkdirSync(disk);
  const mount = ['-t', 'tmpfs', '-o', 'size=120m', 'onejob-test', disk];
  if (spawnSync('mount', mount).status !== 0) return t.skip('mounting a small disk needs root');
  using undo = new DisposableStack();
  undo.defer(() => spawnSync('umount', ['--lazy', disk]));
  const words = [
    '--data-dir',
    join(disk, 'data'),
    'run',
    '--driver',
    'process',
    '--json',
    '-e',
    'create',
  ];
  const run = line.start(words, { directory: checkout.directory });
  const { code, stdout, stderr } = await run.ended;
  assert.equal(code, 4, stderr);
  assert.ok(jsonLines(stdout).length > 0);
  assert.match(stderr, /^onejob: .*No space left on device/m);
  assert.match(stderr, /No space is left for .*\/small\/data.*\. Free some/);
  assert.ok(stderr.split('\n').length < 15, stderr);
});
