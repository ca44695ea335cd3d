/** Logs: offsets, gaps, repeats, sealing, archives, streams. */
import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Job, JobAnnotations, LogPage, Run } from '@onejob/protocol';
import { newRows } from '../src/logs/append-log.ts';
import { TestAgent } from './_agent.ts';
import { onEveryDatabase } from './_databases.ts';
import type { Platform } from './_platform.ts';

const ONE_JOB = `on: push
jobs: { build: { runs-on: ubuntu-latest, steps: [{ run: 'true' }] } }
`;
const texts = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => `row ${from + index}`);

async function readAll(platform: Platform, jobId: string, limit: number): Promise<string[]> {
  const rows: string[] = [];
  for (;;) {
    const path = `/jobs/${jobId}/log?offset=${rows.length}&limit=${limit}`;
    const page = (await platform.api('GET', path)).body as LogPage;
    if (page.rows.length === 0) return rows;
    assert.ok(page.rows.length <= limit);
    rows.push(...page.rows.map((row) => row.text));
  }
}

test('whatever messages arrive, in whatever order and how often, rows are the log as written', () => {
  const message = fc.record({ offset: fc.nat(40), count: fc.nat(12) });
  fc.assert(
    fc.property(fc.array(message, { maxLength: 60 }), (messages) => {
      const log: string[] = [];
      for (const { offset, count } of messages) {
        const before = log.length;
        log.push(...newRows(log.length, offset, texts(offset, offset + count)));
        const reach = offset <= before ? Math.max(before, offset + count) : before;
        assert.equal(log.length, reach);
      }
      assert.deepEqual(log, texts(0, log.length));
    }),
  );
});

onEveryDatabase(
  'logs',
  (start) => {
    test('repeats are ignored, gaps are not taken, and the answer is the first missing row', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      await platform.runWorkflow(ONE_JOB);
      const leased = await agent.start();
      assert.equal(await leased.log(0, texts(0, 3)), 3);
      assert.equal(await leased.log(0, texts(0, 3)), 3);
      assert.equal(await leased.log(5, texts(5, 9)), 3);
      assert.equal(await leased.log(2, texts(2, 5)), 5);
      assert.equal(await leased.log(5, []), 5);
      const racing = [texts(5, 8), texts(5, 10), texts(5, 6)];
      await Promise.all(racing.map(async (rows) => await leased.log(5, rows)));
      assert.deepEqual(await readAll(platform, leased.jobId, 4), texts(0, 10));
    });

    test('a log is sealed when all rows are there, archived, and reads the same', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(ONE_JOB);
      const leased = await agent.start();
      const written = texts(0, 4500);
      written[7] = 'NUL \0, a lone surrogate’s stand-in \ufffd, ünï😀, "quotes" and \\';
      for (let at = 0; at < written.length; at += 190) {
        await leased.log(at, written.slice(at, at + 190));
      }
      await leased.finish('steps_completed', { logRows: written.length });
      const objects = join(platform.controlPlane.dataDirectory, 'objects', 'logs');
      await platform.eventually(
        async () => existsSync(objects) && readdirSync(objects, { recursive: true }).join(' '),
        (names) => names !== false && names.includes(`${leased.jobId}-1.zst`),
      );
      const { log } = await platform.job(leased.jobId);
      assert.deepEqual(log, { rows: written.length, sealed: true, missingRows: 0 });
      assert.deepEqual(await readAll(platform, leased.jobId, 999), written);
      assert.equal(await leased.log(written.length, ['too late']), written.length);
      const events = await platform.events(run.id);
      const streamed = events.flatMap((event) =>
        event.type === 'log' ? (event['rows'] as { text: string }[]) : [],
      );
      assert.deepEqual(
        streamed.map((row) => row.text),
        written,
      );
    });

    test('a finished job says how many rows are missing, takes late ones, then closes', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      await platform.runWorkflow(
        ONE_JOB.replace('build:', 'a:').replace(
          'jobs: {',
          'jobs: { b: { runs-on: ubuntu-latest, steps: [{ run: "true" }] },',
        ),
      );
      const late = await agent.start();
      const never = await agent.start();
      for (const leased of [late, never]) {
        await leased.log(0, texts(0, 2));
        await leased.finish('steps_completed', { logRows: 5 });
        const { log } = await platform.job(leased.jobId);
        assert.deepEqual(log, { rows: 2, sealed: false, missingRows: 3 });
      }
      assert.equal(await late.log(2, texts(2, 5)), 5);
      const sealed = (await platform.job(late.jobId)).log;
      assert.deepEqual(sealed, { rows: 5, sealed: true, missingRows: 0 });
      platform.clock.advance(61_000);
      assert.equal(await never.log(2, texts(2, 5)), 2);
      assert.equal((await platform.job(never.jobId)).log.missingRows, 3);
    });

    test('a stream follows rows and steps live and ends with the finished run', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(ONE_JOB);
      const streaming = platform.events(run.id);
      const leased = await agent.start();
      for (let at = 0; at < 40; at += 1) {
        await leased.log(at, [`row ${at}`]);
        await leased.events(at, [
          {
            type: 'step',
            index: at,
            phase: 'main',
            status: 'completed',
            name: `step ${at}`,
            atMs: at,
            outcome: 'success',
            conclusion: 'success',
          },
        ]);
      }
      await leased.finish('steps_completed', { logRows: 40 });
      const events = await streaming;
      let next = 0;
      for (const event of events.filter((one) => one.type === 'log')) {
        assert.equal(event['offset'], next);
        next += (event['rows'] as unknown[]).length;
      }
      assert.equal(next, 40);
      assert.equal(events[0]?.type, 'run');
      assert.equal(events.at(-1)?.type, 'run');
      const last = events.at(-1)?.['run'] as { state: string; jobs: Job[] };
      assert.equal(last.state, 'finished');
      assert.equal(last.jobs[0]?.steps.length, 40);
    });

    test('events are taken once by number, and what does not fit the schema is refused', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      await platform.runWorkflow(ONE_JOB);
      const leased = await agent.start();
      const note = (message: string) => ({
        type: 'annotation',
        index: 0,
        annotation: { level: 'notice', message },
      });
      assert.equal(await leased.events(0, [note('one'), note('two')]), 2);
      assert.equal(await leased.events(1, [note('two'), note('three')]), 3);
      assert.equal(await leased.events(9, [note('gap')]), 3);
      await assert.rejects(leased.events(3, [{ type: 'step', index: 0, evil: true }]));
      const { annotations } = await platform.job(leased.jobId);
      assert.deepEqual(
        annotations.map((one) => one.annotation.message),
        ['one', 'two', 'three'],
      );
    });

    test('lists and streams show the first annotations within bounds and say how many there are', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      const run = await platform.runWorkflow(`on: push
jobs:
  many: { runs-on: ubuntu-latest, steps: [{ run: 'true' }] }
  long: { runs-on: ubuntu-latest, steps: [{ run: 'true' }] }
`);
      const note = (message: string) => ({
        type: 'annotation',
        index: 0,
        annotation: { level: 'notice', message },
      });
      const sent = {
        many: Array.from({ length: 60 }, (_, at) => `note ${at}`),
        long: Array.from({ length: 40 }, (_, at) => `${at} ${'x'.repeat(60_000)}`),
      };
      for (const leased of [await agent.start(), await agent.start()]) {
        const messages = sent[leased.task?.job.key as keyof typeof sent];
        assert.equal(await leased.events(0, messages.map(note)), messages.length);
      }
      const listed = await platform.api('GET', '/runs');
      assert.ok(listed.text.length < 1.2 * 1024 * 1024, `${listed.text.length}`);
      const { jobs } = (listed.body as { runs: Run[] }).runs[0]!;
      const shownOf = (key: string): number =>
        jobs.find((job) => job.key === key)?.annotations.length ?? 0;
      assert.ok(shownOf('many') <= 50 && shownOf('long') <= 17);
      assert.ok(shownOf('many') + shownOf('long') >= 17);
      for (const job of [...jobs, ...(await platform.run(run.id)).jobs]) {
        const messages = sent[job.key as keyof typeof sent];
        assert.equal(job.annotationCount, messages.length);
        assert.deepEqual(
          job.annotations.map((one) => one.annotation.message),
          messages.slice(0, job.annotations.length),
        );
        const all = (await platform.api('GET', `/jobs/${job.id}/annotations`))
          .body as JobAnnotations;
        assert.deepEqual(
          all.annotations.map((one) => one.annotation.message),
          messages,
        );
      }
    });

    test('a job tells how long its summaries are, and their text where it is asked for', async () => {
      await using platform = await start();
      const agent = await TestAgent.announce(platform);
      await platform.runWorkflow(ONE_JOB);
      const leased = await agent.start();
      const summary = (markdown: string) => ({ type: 'summary', index: 0, markdown });
      assert.equal(await leased.events(0, [summary('# Größe\n'), summary('more\n')]), 2);
      const { summaries } = await platform.job(leased.jobId);
      assert.deepEqual(summaries, [
        { step: 0, bytes: 10 },
        { step: 0, bytes: 5 },
      ]);
      const { body } = await platform.api('GET', `/jobs/${leased.jobId}/summaries`);
      assert.deepEqual(body, {
        summaries: [
          { step: 0, markdown: '# Größe\n' },
          { step: 0, markdown: 'more\n' },
        ],
      });
      assert.equal((await platform.api('GET', '/jobs/none/summaries')).status, 404);
    });
  },
  { pglite: 'in long tests' },
);
