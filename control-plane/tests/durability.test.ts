/** What waits for the disk when it commits, and what may be lost: see `mayBeLost` in store.ts. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import pg from 'pg';
import { TestAgent } from './_agent.ts';
import { Platform } from './_platform.ts';
import { postgresMissing, TestPostgres } from './_postgres.ts';
import { ONE_JOB } from './_workflows.ts';

/** Notes how each transaction with a transition is about to commit: the trigger runs last in it. */
const NOTE_COMMITS = `
  create table commits (to_state text, waits text);
  create function note_commit() returns trigger language plpgsql as $$ begin
    insert into commits values (new.to_state, current_setting('synchronous_commit'));
    return null;
  end $$;
  create constraint trigger note_commit after insert on job_transitions
    deferrable initially deferred for each row execute function note_commit()`;

describe('durability, on Postgres', { skip: postgresMissing }, () => {
  let server: TestPostgres;
  before(async () => {
    server = await TestPostgres.start();
  });
  after(async () => {
    await server[Symbol.asyncDispose]();
  });

  test('offers and leases do not wait for the disk; every other step of a job does', async () => {
    const url = await server.createDatabase();
    await using platform = await Platform.start({ database: { kind: 'postgres', url } });
    const client = new pg.Client({ connectionString: url });
    await client.connect();
    try {
      await client.query(NOTE_COMMITS);
      const agent = await TestAgent.announce(platform);
      await platform.runWorkflow(ONE_JOB);
      const leased = await agent.start();
      await leased.finish();
      const { rows } = await client.query('select to_state, waits from commits');
      assert.deepEqual(rows, [
        { to_state: 'waiting', waits: 'on' },
        { to_state: 'queued', waits: 'on' },
        { to_state: 'offered', waits: 'off' },
        { to_state: 'leased', waits: 'off' },
        { to_state: 'starting', waits: 'on' },
        { to_state: 'running', waits: 'on' },
        { to_state: 'finished', waits: 'on' },
      ]);
    } finally {
      await client.end();
    }
  });
});
