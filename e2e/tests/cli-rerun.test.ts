import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import type { Run, RunStreamEvent } from '@onejob/protocol';
import { makeCheckout } from '@onejob/testing';
import { checkRefusal, CommandLine, jsonLines } from './_command-line.ts';

const WORKFLOW = `name: ci
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    outputs: { attempt: '\${{ steps.say.outputs.attempt }}' }
    steps:
      - id: say
        run: |
          echo "building $GITHUB_RUN_ATTEMPT"
          echo "attempt=$GITHUB_RUN_ATTEMPT" >> "$GITHUB_OUTPUT"
  flaky:
    needs: build
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - run: |
          echo "attempt $GITHUB_RUN_ATTEMPT of $(cat word), built in \${{ needs.build.outputs.attempt }}"
          echo "::debug::in detail"
          test "$GITHUB_RUN_ATTEMPT" -gt 1
          test "\${{ secrets.WORD }}" = sesame
  after:
    needs: flaky
    runs-on: ubuntu-latest
    steps: [{ run: 'echo after \${{ github.triggering_actor }}' }]
`;

const checkout = makeCheckout({
  '.github/workflows/ci.yml': WORKFLOW,
  word: 'first\n',
});
const here = { directory: checkout.directory };
const line = await CommandLine.served();

before(async () => {
  const first = await line.run(['run', '--driver', 'process', '-s', 'WORD=sesame'], here);
  assert.equal(first.code, 1, first.stdout + first.stderr);
});
after(async () => {
  await checkout[Symbol.asyncDispose]();
  await line[Symbol.asyncDispose]();
});

test('a secret that the run had is asked for by name, and wrong choices are refused', async () => {
  checkRefusal(await line.run(['rerun'], here), 2, /Give these again: WORD\.$/m, /-s NAME/);
  checkRefusal(await line.run(['rerun', '77'], here), 3, /There is no run "77"/);
  const secret = ['-s', 'WORD=sesame'];
  const both = await line.run(['rerun', '1', '--failed', '-j', 'build', ...secret], here);
  checkRefusal(both, 2, /--failed and --job exclude each other/);
  const none = await line.run(['rerun', '1', '--job', 'nope', ...secret], here);
  checkRefusal(none, 3, /Run 1 has no job "nope"\. It has: build, flaky, after/);
});

test('--failed runs the failed job and those after it on the same commit, and shows their logs only', async () => {
  checkout.write('word', 'second\n');
  checkout.git('commit', '-qam', 'later');
  const file = line.write('secrets', 'WORD=sesame\n');
  const { code, stdout } = await line.run(['rerun', '--failed', '--secret-file', file], here);
  assert.equal(code, 0, stdout);
  assert.match(stdout, /^ci · run 1 · attempt 2/m);
  assert.match(stdout, /^\[flaky\] \| attempt 2 of first, built in 1$/m);
  assert.match(stdout, /^\[after\] \| after \w+/m);
  assert.doesNotMatch(stdout, /building|^\[flaky\] \| in detail/m);
  assert.match(stdout, /^✓ build +success .* in attempt 1$/m);
  assert.match(stdout, /^✓ flaky +success +\S+ +\S+ +\S+$/m);
});

test('an attempt that went before is read by its number, and the list counts them', async () => {
  const first = await line.run(['logs', '1', 'flaky', '--attempt', '1'], here);
  assert.match(first.stdout, /^attempt 1 of first, built in 1$/m);
  const last = await line.run(['logs', '1'], here);
  assert.match(last.stdout, /^\[build\] building 1$/m);
  assert.match(last.stdout, /^\[flaky\] attempt 2 of first/m);
  checkRefusal(
    await line.run(['logs', '1', '--attempt', '9'], here),
    3,
    /Run 1 has 2 attempts only/,
  );
  checkRefusal(await line.run(['logs', '1', '--attempt', 'x'], here), 2, /--attempt x: a whole/);
  const follow = await line.run(['logs', '1', '--attempt', '1', '-f'], here);
  checkRefusal(follow, 2, /leave out --attempt/);
  const { stdout } = await line.run(['list']);
  assert.match(stdout, /^run .* when \(UTC\) +attempt +name/m);
  assert.match(stdout, /#1 +ci +push +success +✓3 .*:\d\d +2 /m);
});

test('--debug shows debug lines of this attempt; --json tells events as run does', async () => {
  const words = ['rerun', 'latest', '-j', 'flaky', '--secret', 'WORD=sesame', '--debug', '--json'];
  const { code, stdout } = await line.run(words, here);
  assert.equal(code, 0, stdout);
  const events = jsonLines<RunStreamEvent | { type: 'finished'; runs: Run[] }>(stdout);
  const texts = events.flatMap((event) => (event.type === 'log' ? event.rows : []));
  assert.ok(texts.some(({ text }) => text === '##[debug]in detail'));
  const last = events.at(-1);
  assert.ok(last?.type === 'finished');
  const [run] = last.runs;
  assert.deepEqual(
    run?.jobs.map(({ name, attempt }) => [name, attempt]),
    [
      ['build', 1],
      ['flaky', 3],
      ['after', 3],
    ],
  );
});
