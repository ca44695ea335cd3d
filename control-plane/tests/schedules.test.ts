/** Runs of workflows with `on: schedule`. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestAgent } from './_agent.ts';
import { Platform } from './_platform.ts';

const WORKFLOW = `on: { schedule: [{ cron: '0 5 * * 1' }, { cron: '30 5 * * 4' }] }
run-name: at \${{ github.event.schedule }}
jobs: { build: { runs-on: ubuntu-latest, steps: [{ run: 'true' }] } }
`;

test('a run of a schedule knows which: the one that is named, else the first of its workflow', async () => {
  await using platform = await Platform.start();
  const agent = await TestAgent.announce(platform);
  const payloads = [{}, { schedule: '30 5 * * 4' }];
  const expected = ['0 5 * * 1', '30 5 * * 4'];
  for (const [place, payload] of payloads.entries()) {
    const run = await platform.runWorkflow(WORKFLOW, { event: { name: 'schedule', payload } });
    assert.equal(run.name, `at ${expected[place]}`);
    const leased = await agent.start();
    assert.deepEqual(leased.task!.contexts.github['event'], { schedule: expected[place] });
    await leased.finish();
  }
});

test('a schedule that a workflow does not have starts nothing, and says what it has', async () => {
  await using platform = await Platform.start();
  const sha = await platform.snapshot({ '.github/workflows/ci.yml': WORKFLOW });
  const event = { name: 'schedule', payload: { schedule: '0 0 * * *' } };
  const { runs, notTriggered } = await platform.createRuns({ sha, event });
  assert.deepEqual(runs, []);
  assert.equal(
    notTriggered[0]?.why,
    "'0 0 * * *' is none of its schedules ('0 5 * * 1', '30 5 * * 4')",
  );
});
