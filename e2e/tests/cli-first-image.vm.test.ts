/** The first minute on a fresh machine: no image yet, a build under way, and people who do not wait. */
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

test('while the first run builds the image, trusted jobs run and the others say what they wait for', async (t) => {
  await using line = new CommandLine();
  const { place, fail } = slowBuild(line, checkout.directory);
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
