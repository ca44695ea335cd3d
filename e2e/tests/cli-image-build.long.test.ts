import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GuestImage } from '@onejob/image';
import { CommandLine } from './_command-line.ts';

test('an image is built anew on demand, with its steps and times', async () => {
  await using line = new CommandLine();
  const built = await line.run(['image', 'build', '--force'], { hangMs: 1_800_000 });
  assert.equal(built.code, 0, built.stderr);
  assert.match(built.stderr, /^image +\d.*$/m);
  assert.match(built.stdout, /built in \d/);
  const images = JSON.parse((await line.run(['image', 'list', '--json'])).stdout) as GuestImage[];
  assert.ok(built.stdout.includes(images[0]?.digest.slice(0, 12) ?? 'no image'));
});
