/** Caches of a job that runs in a real agent: what its grant gives it, and what stays after it. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { AgentLab } from './_agent-lab.ts';
import type { FakeJob } from './_fake-control-plane.ts';
import { checkLeaksAfterEach, filesBelow } from './_leaks.ts';

checkLeaksAfterEach();

const TOKEN = 'head.claims.of-this-job';
const GRANT = {
  token: TOKEN,
  repository: 'acme/app',
  runId: '01990000-0000-7000-8000-000000000001',
  writableRef: 'refs/heads/main',
};
const kept = (lab: AgentLab): string[] => {
  const entries = join(lab.root, 'state/results/kept/acme/app/entries');
  // Their names are their ids: a later one is greater.
  const files = filesBelow(entries).toSorted();
  return files.map((file) => {
    const { name } = JSON.parse(readFileSync(join(entries, file), 'utf8')) as {
      name: { ref: string; key: string };
    };
    return `${name.ref} ${name.key}`;
  });
};

async function run(
  lab: AgentLab,
  acts: FakeJob['acts'],
  more: Partial<FakeJob> = {},
): Promise<FakeJob> {
  const job = lab.controlPlane.queue([...acts, ['finish', 'steps_completed']], {
    results: GRANT,
    ...more,
  });
  await lab.ended(job);
  await lab.nothingLeft();
  return job;
}

test('a finished cache stays; what the job left unfinished is gone with it, and its key is free', async () => {
  await using lab = await AgentLab.open();
  await lab.controlPlane.start();
  await lab.agent();
  const job = await run(lab, [
    ['cache', { token: TOKEN, key: 'finished', isFinished: true }],
    ['cache', { token: TOKEN, key: 'begun' }],
  ]);
  assert.deepEqual(job.log, ['POST 200', 'PUT 201', 'POST 200', 'POST 200', 'PUT 201']);
  assert.deepEqual(kept(lab), ['refs/heads/main finished']);
  assert.deepEqual(filesBelow(join(lab.root, 'state/results/open')), []);
  await run(lab, [['cache', { token: TOKEN, key: 'begun', isFinished: true }]]);
  assert.deepEqual(kept(lab), ['refs/heads/main finished', 'refs/heads/main begun']);
  assert.deepEqual(lab.warnings, []);
});

test('a job that died in an upload leaves nothing of it', async () => {
  await using lab = await AgentLab.open();
  await lab.controlPlane.start();
  await lab.agent();
  const job = lab.controlPlane.queue([['cache', { token: TOKEN, key: 'k' }], ['fail']], {
    results: GRANT,
  });
  assert.equal((await lab.ended(job)).reason, 'runner_killed');
  await lab.nothingLeft();
  assert.deepEqual(filesBelow(join(lab.root, 'state/results/open')), []);
});

test('a job without a grant, or with another token, gets nothing', async () => {
  await using lab = await AgentLab.open();
  await lab.controlPlane.start();
  await lab.agent();
  const acts: FakeJob['acts'] = [['cache', { token: TOKEN, key: 'k', isFinished: true }]];
  assert.deepEqual((await run(lab, acts, { results: undefined })).log, ['POST 404']);
  const other = { ...GRANT, token: 'of.another.job' };
  assert.deepEqual((await run(lab, acts, { results: other })).log, ['POST 401']);
  assert.deepEqual(kept(lab), []);
});

test('a grant that names no repository is refused before the job begins', async () => {
  await using lab = await AgentLab.open();
  await lab.controlPlane.start();
  await lab.agent();
  for (const wrong of [{ repository: '../..' }, { runId: '../x' }, { token: '' }]) {
    const job = await run(lab, [['log', 'never']], { results: { ...GRANT, ...wrong } });
    assert.equal(job.finished?.reason, 'platform_error');
    assert.deepEqual(job.log, []);
  }
});
