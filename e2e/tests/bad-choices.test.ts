/**
 * Issue 2, "bad input", where flags name what is not in the workflows: a job, a leg of a matrix, an
 * input, an event. What there is instead is on the same screen.
 */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { makeCheckout } from '@onejob/testing';
import { checkRefusal, CommandLine, type Ended } from './_command-line.ts';

const FILE = '.github/workflows/ci.yml';
const WORKFLOW = `on:
  push:
  workflow_dispatch: { inputs: { level: { type: choice, options: [low, high] } } }
jobs:
  a:
    runs-on: ubuntu-latest
    strategy: { matrix: { node: [22, 24] } }
    steps: [{ run: 'echo node \${{ matrix.node }}' }]
`;
const line = await CommandLine.served();
const checkout = makeCheckout({ [FILE]: WORKFLOW });
after(async () => {
  await checkout[Symbol.asyncDispose]();
  await line[Symbol.asyncDispose]();
});
const run = async (...words: string[]): Promise<Ended> =>
  await line.run(['run', '--driver', 'process', ...words], { directory: checkout.directory });

test('a job that no workflow has is refused with those there are', async () => {
  const result = await run('-j', 'nope', '-j', 'a');
  checkRefusal(result, 2, /No workflow has the job nope\. There are: a\./, /--job.*--list/);
});

test('a matrix key or value that no leg has is refused with those there are', async () => {
  for (const how of [[], ['--list']]) {
    checkRefusal(
      await run('--matrix', 'nod:24', ...how),
      2,
      /No matrix has the key "nod"\. There are: node \(22, 24\)\./,
      /--matrix.*onejob run --dry-run/,
    );
  }
  const value = await run('--matrix', 'node:24', '--matrix', 'node:23', '--json');
  checkRefusal(value, 2, /No leg of a matrix has node: 23\. There are: node \(22, 24\)\./);
  assert.equal(value.stdout, '');
});

test('an input that is not there or does not fit is refused with its place', async () => {
  const dispatch = ['-e', 'workflow_dispatch', '--input'];
  checkRefusal(
    await run(...dispatch, 'levl=low'),
    2,
    /ci\.yml:3:3: Unexpected input 'levl': the workflow takes 'level'/,
    /--input name=value/,
  );
  checkRefusal(
    await run(...dispatch, 'level=mid'),
    2,
    /ci\.yml:3:34: Input 'level' must be one of 'low', 'high', not 'mid'/,
  );
});

test('an event on which nothing runs is refused with a screen of reasons', async () => {
  checkRefusal(await run('-e', 'release'), 3, /does not name 'release'/, /onejob run --list/);
  await using many = makeCheckout(
    Object.fromEntries(
      Array.from({ length: 30 }, (_, n) => [`.github/workflows/w${n}.yml`, WORKFLOW]),
    ),
  );
  checkRefusal(
    await line.run(['run', '--driver', 'process', '-e', 'release'], { directory: many.directory }),
    3,
    /No workflow runs on "release"[^]*and 22 more/,
  );
});

test('plans with wrong expressions in a matrix are refused with their place', async () => {
  const place = '    strategy: { matrix: { node: [22, 24] } }';
  checkout.write(
    FILE,
    WORKFLOW.replace(place, '    strategy: { matrix: { node: "${{ github.ref }}" } }'),
  );
  checkRefusal(
    await run('--dry-run'),
    3,
    /ci\.yml:7:5: Error when evaluating 'strategy' for job 'a'/,
  );
  checkout.write(FILE, WORKFLOW);
});
