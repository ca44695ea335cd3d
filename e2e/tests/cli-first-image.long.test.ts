/** An image that is first needed by who joined, and a platform whose image cannot be made. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { makeCheckout } from '@onejob/testing';
import { CommandLine } from './_command-line.ts';
import { slowBuild } from './_slow-build.ts';

const checkout = makeCheckout({
  '.github/workflows/ci.yml':
    'name: ci\non: push\njobs: { hi: { runs-on: ubuntu-latest, steps: [{ run: echo hi }] } }\n',
});
after(async () => await checkout[Symbol.asyncDispose]());

test('an image that is first needed by who joined is made then, and waited for in sight', async (t) => {
  await using line = await CommandLine.prepared();
  const { place, fail } = slowBuild(line, checkout.directory);
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
  const { place, fail } = slowBuild(line, checkout.directory);
  const drivers = (await line.run(['doctor', '--json'], place)).stdout;
  if (!/"driver":"qemu","works":true/.test(drivers)) return t.skip('QEMU does not work here');
  const up = line.start(['up'], place);
  await up.saw(/Stop with Ctrl-C/);
  fail();
  const { code, stderr } = await up.ended;
  assert.equal(code, 4);
  assert.match(stderr, /step base: /);
});
