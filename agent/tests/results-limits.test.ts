/** The results endpoint when a job has made as much as it may. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, test } from 'node:test';
import {
  ARTIFACT_NAME_CHARACTERS,
  ARTIFACTS_PER_JOB,
  KEY_CHARACTERS,
  LISTED_CACHES,
  REPOSITORY_ENTRIES,
  VERSION_CHARACTERS,
} from '../src/results/limits.ts';
import type { EntryName } from '../src/results/store.ts';
import { checkLeaksAfterEach } from './_leaks.ts';
import { ResultsLab, type LabJob } from './_results-lab.ts';

const FORK = { writableRef: 'refs/pull/7/merge', runId: '01990000-0000-7000-8000-00000000f042' };
const MiB = 1024 * 1024;
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

/** A shelf as an agent left it, with an empty entry of each name. */
async function shelve(jobId: string, named: EntryName[]): Promise<void> {
  const shelf = join(lab.directory, 'results', 'kept', 'acme', 'app');
  for (const room of ['entries', 'contents']) mkdirSync(join(shelf, room), { recursive: true });
  const sha256 = createHash('sha256').digest('hex');
  writeFileSync(join(shelf, 'contents', sha256), '');
  for (const [at, name] of named.entries()) {
    const id = lab.nowMs * 1000 + at;
    const times = { createdAtMs: lab.nowMs, expiresAtMs: Number.MAX_SAFE_INTEGER };
    const entry = { id, name, jobId, mimeType: 'a/b', sizeBytes: 0, sha256, ...times };
    writeFileSync(join(shelf, 'entries', `${id}.json`), JSON.stringify(entry));
  }
  await lab.restart();
}
const numbered = (at: number, length: number, filling: string): string =>
  String(at).padEnd(8, '-').padEnd(length, filling);

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
    const name = { kind: 'artifact', runId, attempt: 1, name: `n${at}` } as const;
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

test('of as many caches as a repository may have a list names a hundred, and a key finds its own', async () => {
  await shelve(
    'j',
    Array.from({ length: REPOSITORY_ENTRIES }, (_, at) => ({
      kind: 'cache',
      ref: 'refs/heads/main',
      // The longest that JSON can make of it.
      version: at === 7 ? 'v' : '\u0001'.repeat(VERSION_CHARACTERS),
      key: `k${numbered(at, KEY_CHARACTERS - 1, at === 7 ? 'x' : '\u0001')}`,
    })),
  );
  const job = await lab.job();
  const { status, body } = await job.ask('GET', '/_apis/artifactcache/caches?key=k');
  assert.equal(status, 200);
  assert.ok(Buffer.byteLength(body) < MiB, String(body.length));
  const { totalCount, artifactCaches } = JSON.parse(body) as Record<string, string[]>;
  assert.deepEqual([totalCount, artifactCaches?.length], [REPOSITORY_ENTRIES, LISTED_CACHES]);
  assert.equal(await job.restore('k7-'), '');
  assert.equal(await job.restore('k8-'), undefined);
});

test('all artifacts of a job are listed, however long their names; of more than an answer holds each is found', async () => {
  const job = await lab.job();
  const other = await lab.job({ runId: FORK.runId });
  const name = (at: number): string => numbered(at, ARTIFACT_NAME_CHARACTERS, '語');
  await shelve(
    job.grant.jobId,
    Array.from({ length: ARTIFACTS_PER_JOB + 1200 }, (_, at) => {
      const { runId } = at < ARTIFACTS_PER_JOB ? job.grant : other.grant;
      return { kind: 'artifact', runId, attempt: 1, name: name(at) };
    }),
  );
  const [mine, many] = [await lab.job(), await lab.job({ runId: FORK.runId })];
  assert.equal((await listed(mine)).length, ARTIFACTS_PER_JOB);
  const all = await many.call('ListArtifacts', ids(many));
  assert.equal(all.status, 413);
  assert.match(String(all.json['msg']), /list of the run's 1200 artifacts .* Ask for them by name/);
  const one = { ...ids(many), name_filter: name(1000) };
  const { json } = await many.call('ListArtifacts', one);
  assert.deepEqual(
    (json['artifacts'] as { name: string }[]).map((found) => found.name),
    [name(1000)],
  );
});

test('the calls of one job wait for one another, and not for those of another job', async () => {
  const [job, other] = [await lab.job(), await lab.job()];
  const before = Promise.withResolvers<void>();
  const busy = job.results.inTurn(async () => await before.promise);
  let answered = 0;
  const calls = [
    job.call('ListArtifacts', ids(job)),
    job.call('GetCacheEntryDownloadURL', { key: 'k', version: 'v' }),
    job.ask('GET', '/_apis/artifactcache/caches?key=k'),
    job.ask('GET', '/_apis/artifactcache/cache?keys=k&version=v'),
  ].map(async (call) => await call.then(() => (answered += 1)));
  for (let at = 0; at < 10; at++) assert.deepEqual(await listed(other), []);
  assert.equal(answered, 0);
  before.resolve();
  await Promise.all([busy, ...calls]);
  assert.equal(answered, 4);
});

test('other work of the agent comes between the calls of one job, also when none of them waits', async () => {
  const job = await lab.job();
  let isBetween = false;
  const calls = [1, 2, 3].map(async (at) =>
    job.results.inTurn(async () => {
      if (at === 1) setImmediate(() => (isBetween = true));
      if (at === 3) assert.ok(isBetween);
      await Promise.resolve();
    }),
  );
  await Promise.all(calls);
});
