/**
 * The transition table against the store: any sequence of moves by anybody leads only along edges of
 * the table, and the history is exactly the moves that were made.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import fc from 'fast-check';
import { canTransition, type EndReason, JOB_STATES, type JobState } from '@onejob/protocol';
import { systemClock } from '../src/clock.ts';
import { Notifier } from '../src/store/notifier.ts';
import { openStore, type Store } from '../src/store/store.ts';
import { type JobRow, transitionJob } from '../src/store/transition-job.ts';
import { onEveryStore } from './_databases.ts';
import { makeJob } from './_jobs.ts';

/** Columns the table wants beside a state; an end needs its reason. */
const columnsFor = (to: JobState): { conclusion?: 'success'; end_reason?: EndReason } =>
  to === 'finished' ? { conclusion: 'success', end_reason: 'steps_completed' } : {};

onEveryStore('transitions', (newDatabase) => {
  let store: Store;
  before(async () => {
    const parts = { clock: systemClock, notifier: new Notifier() };
    store = await openStore(await newDatabase(), parts);
  });
  after(async () => {
    await store[Symbol.asyncDispose]();
  });

  const readJob = async (jobId: string): Promise<JobRow> =>
    await store.db.selectFrom('jobs').selectAll().where('id', '=', jobId).executeTakeFirstOrThrow();

  test('only edges of the table are taken, by whoever and however stale their knowledge is', async () => {
    const move = fc.record({
      to: fc.constantFrom(...JOB_STATES),
      /** What the mover believes: the truth, an older state, an older epoch, another attempt. */
      believes: fc.constantFrom('truth', 'any state', 'old epoch', 'other attempt'),
      from: fc.constantFrom(...JOB_STATES),
      nextEpoch: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(move, { minLength: 1, maxLength: 15 }), async (moves) => {
        const jobId = await makeJob(store);
        const path: JobState[] = ['waiting'];
        for (const { to, believes, from, nextEpoch } of moves) {
          const truth = await readJob(jobId);
          const expected = {
            ...truth,
            ...(believes === 'any state' ? { state: from } : {}),
            ...(believes === 'old epoch' ? { epoch: truth.epoch - 1 } : {}),
            ...(believes === 'other attempt' ? { attempt: 2 } : {}),
          };
          const knows = believes === 'truth' || (believes === 'any state' && from === truth.state);
          const moved = await store.transaction(
            async (tx) =>
              await transitionJob(tx, expected, to, 'because', {
                ...columnsFor(to),
                ...(nextEpoch ? { epoch: truth.epoch + 1 } : {}),
              }),
          );
          const allowed = knows && canTransition(truth.state, to);
          assert.equal(moved !== undefined, allowed, `${truth.state} -> ${to}, ${believes}`);
          assert.equal((await readJob(jobId)).state, allowed ? to : truth.state);
          if (allowed) path.push(to);
        }
        const history = await store.db
          .selectFrom('job_transitions')
          .selectAll()
          .where('job_id', '=', jobId)
          .orderBy('id')
          .execute();
        assert.deepEqual(
          history.map((row) => row.to_state),
          path,
        );
        assert.deepEqual(
          history.map((row) => row.from_state),
          [null, ...path.slice(0, -1)],
        );
      }),
      { numRuns: 60 },
    );
  });

  test('of many who move the same job at once, one does', async () => {
    const jobId = await makeJob(store);
    const job = await readJob(jobId);
    const tries = await Promise.all(
      Array.from(
        { length: 10 },
        async (_, index) =>
          await store.transaction(async (tx) => await transitionJob(tx, job, 'queued', `${index}`)),
      ),
    );
    assert.equal(tries.filter((one) => one !== undefined).length, 1);
  });

  test('what a transaction announced is published after its commit, and never without one', async () => {
    const heard: string[] = [];
    const job = await readJob(await makeJob(store));
    using _ = store.notifier.subscribe(`run:${job.run_id}`, () => void heard.push('run'));
    const failing = store.transaction(async (tx) => {
      await transitionJob(tx, job, 'queued', 'rolled back');
      throw new Error('no');
    });
    await assert.rejects(failing, /no/);
    assert.deepEqual(heard, []);
    assert.equal((await readJob(job.id)).state, 'waiting');
    await store.transaction(async (tx) => {
      await transitionJob(tx, job, 'queued', 'kept');
      assert.deepEqual(heard, []);
    });
    assert.deepEqual(heard, ['run']);
  });
});
