/** The results endpoint when a job has made as much as it may. */
import assert from 'node:assert/strict';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, test } from 'node:test';
import { ARTIFACTS_PER_JOB } from '../src/results/limits.ts';
import { checkLeaksAfterEach } from './_leaks.ts';
import { ResultsLab, type LabJob } from './_results-lab.ts';

const FORK = { writableRef: 'refs/pull/7/merge', runId: '01990000-0000-7000-8000-00000000f042' };
const SMALL = { cacheBytes: 100, artifactBytes: 100, entries: 4 };

let lab: ResultsLab;
beforeEach(async () => {
  lab = await ResultsLab.open();
});
afterEach(async () => {
  await lab[Symbol.asyncDispose]();
  assert.deepEqual(lab.warnings, [], 'a job at its limits is not our fault');
});
checkLeaksAfterEach();

const ids = ({ grant }: LabJob): object => ({
  workflow_run_backend_id: grant.runId,
  workflow_job_run_backend_id: grant.jobId,
});

/** The status of the first call that is refused, else 200. */
async function upload(job: LabJob, name: string): Promise<number> {
  const { status, json } = await job.call('CreateArtifact', { ...ids(job), name });
  if (status !== 200) return status;
  await job.ask('PUT', String(json['signed_upload_url']), 'x');
  return (await job.call('FinalizeArtifact', { ...ids(job), name, size: 1 })).status;
}

async function listed(job: LabJob): Promise<string[]> {
  const { json } = await job.call('ListArtifacts', ids(job));
  return (json['artifacts'] as { name: string }[]).map(({ name }) => name);
}

test('the artifacts of a pull request’s run do not keep a push’s run from making its own', async () => {
  await lab.restart(SMALL);
  const fork = await lab.job(FORK);
  for (const name of ['a', 'b', 'c', 'd']) assert.equal(await upload(fork, name), 200);
  assert.equal(await upload(fork, 'e'), 413);
  const release = await lab.job();
  for (const name of ['dist', 'docs', 'src', 'sums']) {
    assert.equal(await upload(release, name), 200);
  }
  assert.deepEqual(await listed(release), ['sums', 'src', 'docs', 'dist']);
  assert.deepEqual(await listed(fork), []);
  assert.equal(await upload(fork, 'f'), 413);
  assert.deepEqual(lab.files('open'), []);
});

test('what an operator deletes while no agent runs is gone, and its room is free', async () => {
  await lab.restart(SMALL);
  const job = await lab.job();
  for (const name of ['a', 'b', 'c', 'd']) assert.equal(await upload(job, name), 200);
  assert.equal(await upload(job, 'e'), 413);
  rmSync(join(lab.directory, 'results', 'kept', 'acme', 'app'), { recursive: true });
  await lab.restart(SMALL);
  const next = await lab.job();
  assert.deepEqual(await listed(next), []);
  assert.equal(await upload(next, 'a'), 200);
});

test('a job makes so many artifacts and no more, also when it deletes them; another job does', async () => {
  const job = await lab.job();
  const { jobId, runId } = job.grant;
  for (let at = 0; at < ARTIFACTS_PER_JOB - 1; at++) {
    const name = { kind: 'artifact', runId, name: `n${at}` } as const;
    const draft = { name, jobId, mimeType: 'text/plain', expiresAtMs: lab.nowMs + 1e9 };
    const number = await job.results.begin(draft);
    await job.results.upload(number).putWhole({ stream: Readable.from(['']), sizeBytes: 0 });
    await job.results.finish(name, { sizeBytes: 0 });
  }
  const begun = { ...ids(job), name: 'begun' };
  const { json } = await job.call('CreateArtifact', begun);
  assert.equal(await upload(job, 'too many'), 413);
  await job.ask('PUT', String(json['signed_upload_url']), 'not what is said');
  assert.equal((await job.call('FinalizeArtifact', { ...begun, size: 1 })).status, 400);
  assert.equal(await upload(job, 'in its place'), 200);
  assert.equal((await job.call('DeleteArtifact', { ...ids(job), name: 'n0' })).json['ok'], true);
  assert.equal(await upload(job, 'too many'), 413);
  assert.ok(await job.save('k', 'caches are others'));
  assert.equal(await upload(await lab.job(), 'of another'), 200);
});
