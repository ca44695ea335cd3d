/** `onejob run -e pull_request`: its ref, what its newest commit says, and the checkout of it. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { makeCheckout } from '@onejob/testing';
import { CommandLine } from './_command-line.ts';

const checkout = makeCheckout({
  '.github/workflows/pull.yml': `on: [pull_request, pull_request_target]
jobs:
  deploy: { if: github.ref == 'refs/heads/main', runs-on: x, steps: [{ run: deploy }] }
  say:
    runs-on: ubuntu-latest
    if: github.event_name == 'pull_request'
    steps:
      - uses: actions/checkout@v4
      - run: echo "$GITHUB_REF $GITHUB_REF_NAME $GITHUB_HEAD_REF $GITHUB_BASE_REF $(cat note.txt)"
`,
  'note.txt': 'words',
});
const line = await CommandLine.served();
after(async () => {
  await checkout[Symbol.asyncDispose]();
  await line[Symbol.asyncDispose]();
});
const { directory } = checkout;

test('on the default branch, too, it runs at its merge ref, and the checkout takes that', async () => {
  const words = ['run', '--driver', 'process', '-e', 'pull_request'];
  const { code, stdout } = await line.run(words, { directory });
  assert.equal(code, 0, stdout);
  assert.match(stdout, /\[say\] \| refs\/pull\/1\/merge 1\/merge main main words$/m);
  assert.match(stdout, /^- deploy +skipped /m);
});

test('one that runs on the side it goes into is on that branch', async () => {
  const { stdout } = await line.run(['run', '-l', '-e', 'pull_request_target'], { directory });
  assert.match(stdout, /^deploy .* yes, `if` is true: github\.ref == 'refs\/heads\/main'$/m);
});

test('its newest commit may ask to be skipped', async () => {
  checkout.git('commit', '--quiet', '--allow-empty', '--message=Mend it [skip ci]');
  const { stdout } = await line.run(['run', '-l', '-e', 'pull_request'], { directory });
  assert.match(stdout, /does not run: the message of its last commit says '\[skip ci\]'$/m);
  const target = await line.run(['run', '-l', '-e', 'pull_request_target'], { directory });
  assert.match(target.stdout, / {2}runs$/m);
});
