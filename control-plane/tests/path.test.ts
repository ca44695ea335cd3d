/** The way of one run through the control plane, from a snapshot to the end of its event stream. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { TestAgent } from './_agent.ts';
import { onEveryDatabase } from './_databases.ts';
import type { Platform } from './_platform.ts';

const ONE_JOB = `on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - run: echo hello
`;

onEveryDatabase('the way of a run', (start) => {
  test('a run goes from a snapshot through lease, adoption and log to its conclusion', async () => {
    await using platform = await start();
    const agent = await TestAgent.announce(platform);
    const run = await platform.runWorkflow(ONE_JOB, { secrets: { KEY: 'sesame-open' } });
    assert.equal(run.state, 'running');
    assert.equal(run.jobs[0]?.state, 'queued');
    const events = platform.events(run.id);

    const leased = await agent.start();
    assert.equal(leased.task?.contexts.github['sha'], run.sha);
    assert.deepEqual(leased.task?.secrets, { KEY: 'sesame-open' });
    assert.equal(await leased.log(0, ['hello', 'nul \0 stays']), 2);
    await leased.events(0, [
      { type: 'step', index: 0, phase: 'main', status: 'running', name: 'Run echo hello', atMs: 1 },
    ]);
    const end = await leased.finish('steps_completed', { logRows: 2, outputs: { a: 'b' } });
    assert.equal(end.conclusion, 'success');

    const streamed = await events;
    const rows = streamed
      .filter((event) => event.type === 'log')
      .flatMap((event) => event['rows'] as { text: string }[]);
    assert.deepEqual(
      rows.map((row) => row.text),
      ['hello', 'nul \0 stays'],
    );
    const last = streamed.at(-1)?.['run'] as Awaited<ReturnType<Platform['run']>>;
    assert.equal(last.conclusion, 'success');
    assert.equal(last.jobs[0]?.log.sealed, true);
    assert.deepEqual(last.jobs[0]?.outputs, { a: 'b' });
    assert.deepEqual(platform.faults, []);
  });

  test('who follows a run sees its end also where the control plane stops with it', async () => {
    await using platform = await start();
    const agent = await TestAgent.announce(platform);
    const run = await platform.runWorkflow(ONE_JOB);
    const events = platform.events(run.id);
    const leased = await agent.start();
    await leased.log(0, ['the last words']);
    await leased.finish('steps_completed', { logRows: 1 });
    await platform.stop();
    const streamed = await events;
    assert.ok(JSON.stringify(streamed).includes('the last words'));
    const last = streamed.at(-1)?.['run'] as Awaited<ReturnType<Platform['run']>>;
    assert.equal(last.conclusion, 'success');
    assert.deepEqual(platform.faults, []);
  });
});
