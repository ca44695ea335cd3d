import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { GuestImage } from '../embedded/images.ts';
import { buildProgress } from './build-progress.ts';

const IMAGE = {
  name: 'debian-bookworm',
  digest: 'ec86b3110c89aaaa',
  sizeBytes: 300 * 1024 * 1024,
  buildTimeMs: 62_000,
} as GuestImage;
const READY = 'image  1m 02s  ready    debian-bookworm ec86b3110c89, 300.0 MiB';

function watch(isLive: boolean) {
  let text = '';
  const write = (chunk: string): boolean => (text += chunk).length > 0;
  const live = isLive ? ({ write } as NodeJS.WriteStream) : undefined;
  const watcher = buildProgress(live, (line) => void write(`${line}\n`));
  return { watcher, text: () => text };
}

test('in a pipe a build is one line a step, and its size and time', () => {
  const { watcher, text } = watch(false);
  watcher.show({ step: 'base', message: 'installing', elapsedMs: 0, done: 1, total: 2 });
  watcher.show({ step: 'base', message: 'unpacking', elapsedMs: 900, done: 2, total: 2 });
  watcher.show({ step: 'root', message: 'packing', elapsedMs: 1000 });
  watcher.end(IMAGE);
  assert.equal(
    text(),
    `image    0.0s  base     installing\nimage    1.0s  root     packing\n${READY}\n`,
  );
});

test('on a terminal a step is redrawn in its line, which stays', () => {
  const { watcher, text } = watch(true);
  watcher.show({ step: 'base', message: 'installing', elapsedMs: 500, done: 1, total: 2 });
  watcher.show({ step: 'base', message: 'installing', elapsedMs: 900, done: 2, total: 2 });
  watcher.show({ step: 'root', message: 'packing', elapsedMs: 1000 });
  watcher.end(IMAGE);
  const [base, root, ready] = text().split('\n');
  assert.match(base ?? '', /\[#{10}\.{10}\]\r\x1b\[2Kimage +0\.9s +base +installing \[#{20}\]$/);
  assert.equal(root, 'image    1.0s  root     packing');
  assert.equal(ready, READY);
  assert.doesNotMatch(text(), /\x1b\[2K$/);
});

test('an image that is found at once is not spoken of, one that fails has no size', () => {
  const found = watch(true);
  found.watcher.show({ step: 'tools', message: 'checking', elapsedMs: 20 });
  found.watcher.end(IMAGE);
  assert.equal(found.text(), '');
  const failed = watch(true);
  failed.watcher.show({ step: 'base', message: 'installing', elapsedMs: 500 });
  failed.watcher.end();
  assert.equal(failed.text(), 'image    0.5s  base     installing\n');
});
