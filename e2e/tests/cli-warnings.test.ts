/** What a workflow says that is read and not applied yet is told wherever the workflow is shown. */
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import type { Plan, Run } from '@onejob/protocol';
import { makeCheckout } from '@onejob/testing';
import { CommandLine, jsonLines } from './_command-line.ts';

const FILE = '.github/workflows/ci.yml';
const checkout = makeCheckout({
  [FILE]: `on: { push: , schedule: [{ cron: '0 5 * * 1' }] }
jobs:
  a:
    runs-on: ubuntu-latest
    environment: prod
    steps: [{ run: 'echo ran \${{ github.event.schedule }}' }]
`,
  '.github/workflows/other.yml': `on: release
jobs: { b: { runs-on: ubuntu-latest, environment: elsewhere, steps: [{ run: echo b }] } }
`,
});
const line = await CommandLine.served();
after(async () => {
  await checkout[Symbol.asyncDispose]();
  await line[Symbol.asyncDispose]();
});
const place = { directory: checkout.directory };
const RUN = ['run', '--driver', 'process'];
const SCHEDULE = new RegExp(`^${FILE}:1:15: warning: onejob reads \`schedule\` but .*$`, 'm');
const ENVIRONMENT = new RegExp(`^${FILE}:5:5: warning: onejob reads \`environment\` but .*$`, 'm');
const NOT_STARTED = /other\.yml:2:38: warning: onejob reads `environment` but/;

test('a run shows the warnings of its own workflow, one a line, before its jobs', async () => {
  const { code, stdout } = await line.run(RUN, place);
  assert.equal(code, 0, stdout);
  assert.match(stdout, SCHEDULE);
  assert.match(stdout, ENVIRONMENT);
  assert.ok(stdout.search(ENVIRONMENT) < stdout.indexOf('[a] '), stdout);
  assert.doesNotMatch(stdout, NOT_STARTED);
});

test('a run of a schedule is that of the event, as the warning says', async () => {
  const first = await line.run([...RUN, '-e', 'schedule'], place);
  assert.equal(first.code, 0, first.stdout);
  assert.match(first.stdout, /^\[a\] \| ran 0 5 \* \* 1$/m);
  const file = line.write('event.json', JSON.stringify({ schedule: '* * * * *' }));
  const none = await line.run([...RUN, '-e', 'schedule', '--event-file', file], place);
  assert.equal(none.code, 3);
  assert.match(none.stderr, /'\* \* \* \* \*' is none of its schedules \('0 5 \* \* 1'\)/);
});

test('on a terminal a run shows them, too', async () => {
  const { stdout } = await line.onTerminal(RUN, { ...place, columns: 200 }).ended;
  assert.match(stdout, /\x1b\[33m\.github\/workflows\/ci\.yml:1:15: warning: .*\x1b\[39m/);
});

test('as JSON each is an event, and the run has them', async () => {
  const { stdout } = await line.run([...RUN, '--json'], place);
  type Line = { type: string; file?: string; line?: number; column?: number; runs?: Run[] };
  const events = jsonLines<Line>(stdout);
  const warnings = events.filter((event) => event.type === 'warning');
  assert.deepEqual(
    warnings.map((event) => [event.file, event.line, event.column]),
    [
      [FILE, 1, 15],
      [FILE, 5, 5],
    ],
  );
  assert.equal(events.at(-1)?.runs?.[0]?.warnings.length, 2);
  const [stored] = JSON.parse((await line.run(['list', '--json'])).stdout) as Run[];
  assert.deepEqual(stored?.warnings, events.at(-1)?.runs?.[0]?.warnings);
});

test('list and dry run show those of every workflow, as text and as JSON', async () => {
  for (const how of ['--list', '-n']) {
    const { code, stdout } = await line.run(['run', how], place);
    assert.equal(code, 0);
    for (const words of [SCHEDULE, ENVIRONMENT, NOT_STARTED]) assert.match(stdout, words);
    const json = await line.run(['run', how, '--json'], place);
    const { workflows } = JSON.parse(json.stdout) as Plan;
    assert.deepEqual(
      workflows.map((workflow) => workflow.warnings.length),
      [2, 1],
    );
  }
});
