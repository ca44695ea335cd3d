/** The first minute on a fresh machine: no image yet, a build under way, and people who do not wait. */
import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { after, test } from 'node:test';
import { makeCheckout } from '@onejob/testing';
import { CommandLine } from './_command-line.ts';

const checkout = makeCheckout({
  '.github/workflows/ci.yml':
    'name: ci\non: push\njobs: { hi: { runs-on: ubuntu-latest, steps: [{ run: echo hi }] } }\n',
});
after(async () => await checkout[Symbol.asyncDispose]());

/** An empty cache, and a build that stands still until it is told to fail. */
function slowBuild(line: CommandLine) {
  const base = dirname(line.data);
  const bin = join(base, 'bin');
  const go = join(base, 'go');
  mkdirSync(bin);
  const script = `#!/bin/sh\nwhile [ ! -e '${go}' ]; do sleep 0.1; done\necho no mirror >&2\nexit 1\n`;
  writeFileSync(join(bin, 'mmdebstrap'), script);
  chmodSync(join(bin, 'mmdebstrap'), 0o755);
  return {
    fail: () => writeFileSync(go, ''),
    place: {
      directory: checkout.directory,
      environment: {
        ONEJOB_CACHE_DIR: join(base, 'cache'),
        PATH: `${bin}:${process.env['PATH']}`,
      },
    },
  };
}

test('while the first run builds the image, trusted jobs run and the others say what they wait for', async (t) => {
  await using line = new CommandLine();
  const { place, fail } = slowBuild(line);
  const drivers = (await line.run(['doctor', '--json'], place)).stdout;
  if (!/"driver":"qemu","works":true/.test(drivers)) return t.skip('QEMU does not work here');
  const owner = line.start(['run'], place);
  // Before that the next one might become the owner.
  await owner.saw(/^image +\d.* base +installing/m);
  const trusted = await line.run(['run', '--driver', 'process'], place);
  assert.equal(trusted.code, 0, trusted.stdout + trusted.stderr);
  assert.match(trusted.stdout, /Joined the onejob/);
  assert.doesNotMatch(trusted.stdout, /no host has its labels/);
  const machine = line.start(['run'], place);
  await machine.saw(/\[hi\] queued: for its image/);
  fail();
  const waited = await machine.ended;
  assert.equal(waited.code, 1, waited.stdout + waited.stderr);
  assert.match(
    waited.stdout,
    /refused \(no host\)[^]*qemu: does not work: its image cannot be made/,
  );
  const { code, stderr } = await owner.ended;
  assert.equal(code, 4);
  assert.match(stderr, /step base: .*ended with 1/);
  assert.doesNotMatch(stderr, /left unfinished/);
});

test('an image that is first needed by who joined is made then, and waited for in sight', async (t) => {
  await using line = await CommandLine.prepared();
  const { place, fail } = slowBuild(line);
  const drivers = (await line.run(['doctor', '--json'], place)).stdout;
  if (!/"driver":"qemu","works":true/.test(drivers)) return t.skip('QEMU does not work here');
  checkout.write(
    '.github/workflows/slow.yml',
    'on: release\njobs: { s: { runs-on: ubuntu-latest, steps: [{ run: echo asleep; sleep 300 }] } }\n',
  );
  const owner = line.start(['run', '--driver', 'process', '-e', 'release'], place);
  await owner.saw(/\| asleep/);
  const machine = line.start(['run'], place);
  await machine.saw(/\[hi\] queued: for its image/);
  fail();
  assert.equal((await machine.ended).code, 1);
  owner.child.kill('SIGINT');
  owner.child.kill('SIGINT');
  assert.equal((await owner.ended).code, 130);
});

test('up ends with the reason when its image cannot be made', async (t) => {
  await using line = await CommandLine.prepared();
  const { place, fail } = slowBuild(line);
  const drivers = (await line.run(['doctor', '--json'], place)).stdout;
  if (!/"driver":"qemu","works":true/.test(drivers)) return t.skip('QEMU does not work here');
  const up = line.start(['up'], place);
  await up.saw(/Stop with Ctrl-C/);
  fail();
  const { code, stderr } = await up.ended;
  assert.equal(code, 4);
  assert.match(stderr, /step base: /);
});
