/** The results endpoint against a job that does what no client of GitHub's does. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { constants } from 'node:http2';
import { connect } from 'node:net';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import type { RepositoryName } from '@onejob/protocol';
import { HOST_FREE_BYTES } from '../src/limits.ts';
import {
  ENTRY_BYTES,
  KEY_CHARACTERS,
  SIGNED_URL_MS,
  UPLOADS_PER_JOB,
  WARNINGS_PER_JOB,
} from '../src/results/limits.ts';
import { checkLeaksAfterEach } from './_leaks.ts';
import { ResultsLab, type LabJob } from './_results-lab.ts';

const OTHER = { repository: 'acme/other' as RepositoryName };
const CACHE = '/twirp/github.actions.results.api.v1.CacheService/';

let lab: ResultsLab;
beforeEach(async () => {
  lab = await ResultsLab.open();
});
afterEach(async () => {
  await lab[Symbol.asyncDispose]();
  assert.deepEqual(lab.warnings, [], 'a hostile request is not our fault');
});
checkLeaksAfterEach();

async function begin(job: LabJob, key = 'k'): Promise<string> {
  const { json } = await job.call('CreateCacheEntry', { key, version: 'v' });
  assert.equal(json['ok'], true, JSON.stringify(json));
  return String(json['signed_upload_url']);
}
const artifact = (job: LabJob, name: string, more: object = {}): object => ({
  workflow_run_backend_id: job.grant.runId,
  workflow_job_run_backend_id: job.grant.jobId,
  name,
  version: 7,
  ...more,
});

async function uploadArtifact(job: LabJob, name: string, text: string): Promise<number> {
  const { status, json } = await job.call('CreateArtifact', artifact(job, name));
  if (status !== 200) return status;
  await job.ask('PUT', String(json['signed_upload_url']), text);
  return (
    await job.call('FinalizeArtifact', artifact(job, name, { size: Buffer.byteLength(text) }))
  ).status;
}

test('another repository sees neither caches nor artifacts, though it uses the same names', async () => {
  const [mine, other] = [await lab.job(), await lab.job(OTHER)];
  assert.ok(await mine.save('k', 'mine'));
  assert.equal(await uploadArtifact(mine, 'a', 'mine'), 200);
  assert.equal(await other.restore('k'), undefined);
  assert.deepEqual((await other.call('ListArtifacts', artifact(other, ''))).json, {
    artifacts: [],
  });
  const asMine = artifact(mine, 'a');
  assert.equal((await other.call('GetSignedArtifactURL', asMine)).status, 404);
  assert.equal((await other.call('DeleteArtifact', asMine)).status, 404);
  assert.ok(await other.save('k', 'other'));
  assert.equal(await mine.restore('k'), 'mine');
});

test('a cache of a pull request is not seen by the default branch, nor by another one', async () => {
  const main = await lab.job();
  const pull = (number: number) => ({
    readableRefs: [`refs/pull/${number}/merge`, 'refs/heads/main'],
    writableRef: `refs/pull/${number}/merge`,
  });
  const [seven, eight] = [await lab.job(pull(7)), await lab.job(pull(8))];
  assert.ok(await main.save('deps-1', 'of main'));
  assert.equal(await seven.restore('deps-1'), 'of main');
  assert.ok(await seven.save('deps-1', 'poison'));
  assert.ok(await seven.save('deps-2', 'poison'));
  assert.equal(await seven.restore('deps-1'), 'poison');
  for (const job of [main, eight]) {
    assert.equal(await job.restore('deps-1'), 'of main');
    assert.equal(await job.restore('deps-2', ['deps-']), 'of main');
  }
});

test('nothing is given to who does not show the token of this very job', async () => {
  const [job, other] = [await lab.job(), await lab.job()];
  const wrong = ['', 'Bearer', `Bearer ${other.grant.token}`, `Basic ${job.grant.token}`];
  wrong.push(`Bearer ${job.grant.token}x`, `Bearer ${job.grant.token.slice(0, -1)}`);
  for (const authorization of wrong) {
    for (const path of [`${CACHE}CreateCacheEntry`, '/_apis/artifactcache/caches']) {
      const body = '{"key":"k","version":"v"}';
      const answer = await job.ask('POST', path, body, { authorization });
      assert.equal(answer.status, 401, authorization);
    }
  }
  assert.deepEqual(lab.files('open'), []);
  const none = await lab.job({ token: '' });
  assert.equal((await none.call('CreateCacheEntry', { key: 'k', version: 'v' })).status, 401);
});

test('an address of another job, another operation or another time is worth nothing', async () => {
  const [job, other] = [await lab.job(), await lab.job()];
  const url = await begin(job);
  const foreign = new URL(await begin(other, 'x'));
  const take = (address: URL) => `${address.pathname}${address.search}`;
  assert.equal((await job.ask('PUT', take(foreign), 'poison')).status, 403);
  assert.equal((await job.ask('GET', url)).status, 403);
  assert.equal((await job.ask('PUT', url.replace('upload', 'download'), 'x')).status, 403);
  assert.equal((await job.ask('PUT', url.replace(/sig=\w+/, 'sig='), 'x')).status, 403);
  assert.equal((await job.ask('DELETE', url)).status, 403);
  job.nowMs = SIGNED_URL_MS + 10;
  assert.equal((await job.ask('PUT', url, 'late')).status, 403);
  job.nowMs = 0;
  assert.equal((await job.ask('PUT', url, 'in time')).status, 201);
});

test('keys and names that lead elsewhere are texts, or refused', async () => {
  const job = await lab.job();
  const keys = [
    '../../../../etc/passwd',
    '/etc/passwd',
    '__proto__',
    'constructor',
    '..',
    'é 日本',
  ];
  for (const key of keys) {
    assert.ok(await job.save(key, `of ${key}`), key);
    assert.equal(await job.restore(key), `of ${key}`);
  }
  assert.ok(await job.save('k', 'strange version', '../../v'));
  const wrong = ['\0', 'a\n::debug::b', '\u001b[2J', '\u2028', '\ud800', '\u0085'];
  for (const version of ['', ...wrong]) {
    assert.equal((await job.call('CreateCacheEntry', { key: 'k', version })).status, 400, version);
  }
  for (const key of ['', 'a,b', 'x'.repeat(KEY_CHARACTERS + 1), ...wrong]) {
    assert.equal((await job.call('CreateCacheEntry', { key, version: 'v' })).status, 400, key);
    const find = { key: 'k', restore_keys: [key], version: 'v' };
    assert.equal((await job.call('GetCacheEntryDownloadURL', find)).status, 400, key);
  }
  const many = { key: 'k', restore_keys: Array(11).fill('r'), version: 'v' };
  assert.equal((await job.call('GetCacheEntryDownloadURL', many)).status, 400);
  for (const name of [
    '',
    '.',
    '..',
    '../x',
    'a/b',
    'a\\b',
    'a\nb',
    'a\0b',
    'a:b',
    'x'.repeat(256),
    '\ud800',
  ]) {
    assert.equal((await job.call('CreateArtifact', artifact(job, name))).status, 400, name);
  }
  for (const name of ['__proto__', 'constructor', '...', 'naïve name']) {
    assert.equal(await uploadArtifact(job, name, name), 200, name);
  }
  const outside = lab
    .files('kept')
    .filter((file) => !/^acme(\/app(\/(entries|contents)(\/[\w.]+)?)?)?$/.test(file));
  assert.deepEqual(outside, []);
});

test('a job makes artifacts in its own name, and reaches those of its run only', async () => {
  const job = await lab.job();
  const sibling = await lab.job();
  const foreign = await lab.job({ runId: '01990000-0000-7000-8000-00000000ffff' });
  assert.equal(await uploadArtifact(job, 'a', 'text'), 200);
  const asJob = artifact(job, 'b');
  assert.equal((await sibling.call('CreateArtifact', asJob)).status, 403);
  assert.equal((await foreign.call('CreateArtifact', asJob)).status, 403);
  for (const call of ['ListArtifacts', 'GetSignedArtifactURL', 'DeleteArtifact']) {
    assert.equal((await foreign.call(call, artifact(job, 'a'))).status, 403, call);
  }
  assert.equal((await sibling.call('GetSignedArtifactURL', artifact(job, 'a'))).status, 200);
});

test('a job that may write no cache is told so by both calls that write one, in an answer', async () => {
  const reader = await lab.job({ writableRef: '' });
  for (const call of ['CreateCacheEntry', 'FinalizeCacheEntryUpload']) {
    const { status, json } = await reader.call(call, { key: 'k', version: 'v', size_bytes: '1' });
    assert.deepEqual([status, json['ok']], [200, false], call);
    assert.match(String(json['message']), /^cache write denied: /);
  }
});

test('an entry is seen only once it is whole, and as long as was said', async () => {
  const job = await lab.job();
  const url = await begin(job);
  const finalize = async (size_bytes: unknown) =>
    await job.call('FinalizeCacheEntryUpload', { key: 'k', version: 'v', size_bytes });
  assert.equal((await finalize('3')).status, 412);
  assert.equal((await job.ask('PUT', url, 'abc')).status, 201);
  assert.equal(await job.restore('k'), undefined);
  for (const size of ['-1', '3.0', 3.5, '', {}, '9'.repeat(17)]) {
    assert.equal((await finalize(size)).status, 400, JSON.stringify(size));
  }
  assert.equal((await finalize('4')).status, 400);
  assert.equal(await job.restore('k'), undefined);
  assert.equal((await job.ask('PUT', url, 'abc')).status, 404);
  assert.ok(await job.save('k', 'abc'));
  assert.equal((await finalize(3)).json['ok'], true, 'asked again, it is the same entry');
  const wrongHash = artifact(job, 'a', { size: 1, hash: `sha256:${'0'.repeat(64)}` });
  const { json } = await job.call('CreateArtifact', wrongHash);
  await job.ask('PUT', String(json['signed_upload_url']), 'x');
  assert.equal((await job.call('FinalizeArtifact', wrongHash)).status, 400);
  assert.deepEqual(lab.files('open'), []);
});

test('bodies that are larger than said, or than anything may be, are not kept', async () => {
  const job = await lab.job();
  const put = async (length: number, text: string) => {
    // A carrier of its own: a body that is not what it says is a broken frame, which ends it.
    const sender = await lab.job();
    const url = new URL(await begin(sender, String(length)));
    const stream = sender.link.request(
      {
        ':method': 'PUT',
        ':authority': url.host,
        ':path': `/results${url.pathname}${url.search}`,
        'content-length': length,
      },
      { endStream: false },
    );
    stream.on('error', () => {});
    // What says more than it has, and goes on, is judged by what it says.
    if (length > 1000) stream.write(text);
    else stream.end(text);
    let status = 0;
    stream.on('response', (headers) => (status = Number(headers[':status'])));
    stream.resume();
    await once(stream, 'close').catch(() => {});
    return status;
  };
  assert.notEqual(await put(3, 'more than three'), 201);
  assert.notEqual(await put(100, 'less'), 201);
  assert.equal(await put(ENTRY_BYTES + 1, 'x'), 413);
  const reserve = JSON.stringify({ key: 'v1', version: 'v' });
  const { body } = await job.ask('POST', '/_apis/artifactcache/caches', reserve);
  const { cacheId } = JSON.parse(body) as { cacheId: number };
  const piece = async (range: string, text: string) =>
    await job.ask('PATCH', `/_apis/artifactcache/caches/${cacheId}`, text, {
      'content-range': range,
    });
  for (const range of ['', 'bytes 5-3/*', 'bytes -1-3/*', `bytes 0-${ENTRY_BYTES}/*`]) {
    assert.equal((await piece(range, 'abc')).status, 400, range);
  }
  assert.equal((await piece('bytes 0-1/*', 'abc')).status, 400);
  assert.equal((await piece('bytes 0-2/*', 'abc')).status, 204);
  assert.equal((await piece('bytes 2-4/*', 'cde')).status, 204);
  const end = async () =>
    await job.ask('POST', `/_apis/artifactcache/caches/${cacheId}`, '{"size":6}');
  assert.equal((await end()).status, 400, 'byte 2 came twice');
  const call = await job.ask('POST', `${CACHE}CreateCacheEntry`, `{"key":"${'x'.repeat(70_000)}"}`);
  assert.equal(call.status, 413);
  assert.equal(await job.restore('k'), undefined);
});

test('lists of blocks by the million are refused before they are read', async () => {
  const job = await lab.job();
  const url = await begin(job);
  const list = (ids: string[]) =>
    `<?xml version="1.0" encoding="utf-8"?><BlockList>${ids.map((id) => `<Latest>${id}</Latest>`).join('')}</BlockList>`;
  const commit = async (xml: string) => await job.ask('PUT', `${url}&comp=blocklist`, xml);
  const ids = Array.from({ length: 1_000_000 }, (_, id) => String(id));
  assert.equal((await commit(list(ids))).status, 413);
  assert.equal((await commit(list(ids.slice(0, 20_000)))).status, 400);
  for (const xml of [
    '',
    '<BlockList>',
    '<BlockList><x/></BlockList>',
    `<BlockList>${' '.repeat(1e6)}<BlockList>`,
    `<BlockList>${' '.repeat(1e6)}x</BlockList>`,
    `${' '.repeat(1e6)}<BlockList></BlockList>${' '.repeat(9e5)}x`,
    list(['a b']),
    'x'.repeat(9e5),
  ]) {
    assert.equal((await commit(xml)).status, 400, xml.slice(0, 50));
  }
  for (const id of ['YQ==', 'Yg==']) {
    const block = await job.ask('PUT', `${url}&comp=block&blockid=${encodeURIComponent(id)}`, id);
    assert.equal(block.status, 201);
  }
  assert.equal((await commit(list(['Yg==', 'YQ==']))).status, 201);
  await job.call('FinalizeCacheEntryUpload', { key: 'k', version: 'v', size_bytes: '8' });
  assert.equal(await job.restore('k'), 'Yg==YQ==');
});

test('an upload that is cut off in the middle leaves nothing, and can be sent again', async () => {
  const job = await lab.job();
  const url = new URL(await begin(job));
  const { port, hostname } = new URL(job.origin);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  socket.write(
    `PUT ${url.pathname}${url.search} HTTP/1.1\r\nHost: ${url.host}\r\nContent-Length: 1000\r\n\r\nhalf`,
  );
  const parts = (): string[] => lab.files('open').filter((file) => file.includes('/'));
  while (parts().length === 0) await sleep(5);
  socket.destroy();
  while (parts().length > 0) await sleep(5);
  assert.equal((await job.ask('PUT', url.href, 'whole')).status, 201);
  await job.call('FinalizeCacheEntryUpload', { key: 'k', version: 'v', size_bytes: 5 });
  assert.equal(await job.restore('k'), 'whole');
});

test('what a job that ended left unfinished is removed, and its names are free', async () => {
  const [job, other] = [await lab.job(), await lab.job()];
  const url = await begin(job);
  await job.ask('PUT', url, 'never finished');
  assert.equal((await other.call('CreateCacheEntry', { key: 'k', version: 'v' })).status, 409);
  await job.results.close();
  assert.deepEqual(lab.files('open'), []);
  assert.equal((await job.ask('PUT', url, 'late')).status, 404);
  assert.equal((await job.call('CreateCacheEntry', { key: 'late', version: 'v' })).status, 412);
  assert.ok(await other.save('k', 'of the other'));
  assert.deepEqual(lab.files('open'), []);
});

test('a killed agent’s uploads are gone at the next start, and what was kept is not', async () => {
  const job = await lab.job();
  assert.ok(await job.save('kept', 'whole'));
  await job.ask('PUT', await begin(job), 'never finished');
  assert.notDeepEqual(lab.files('open'), []);
  await lab.restart();
  assert.deepEqual(lab.files('open'), []);
  const next = await lab.job();
  assert.equal(await next.restore('kept'), 'whole');
  assert.ok(await next.save('k', 'by the next'));
});

test('uploads leave the host’s disk the room that other jobs need', async () => {
  const job = await lab.job();
  const url = await begin(job);
  lab.freeBytes = HOST_FREE_BYTES + 4;
  assert.equal((await job.ask('PUT', `${url}&comp=block&blockid=YQ==`, '12345')).status, 507);
  assert.equal((await job.ask('PUT', `${url}&comp=block&blockid=YQ==`, '1234')).status, 201);
  lab.freeBytes = HOST_FREE_BYTES - 1;
  const { status, json } = await job.call('CreateCacheEntry', { key: 'next', version: 'v' });
  assert.equal(status, 507);
  assert.match(String(json['msg']), /disk of the host is full/);
});

test('uploads at once that each have room, and together have not, are not all taken', async () => {
  const jobs = [await lab.job(), await lab.job()];
  const urls = await Promise.all(
    Array.from({ length: 8 }, async (_, at) => await begin(jobs[at % 2]!, `k${at}`)),
  );
  const content = 'x'.repeat(4 * 1024 * 1024);
  lab.freeBytes = HOST_FREE_BYTES + 2.5 * content.length;
  const ends = await Promise.all(
    urls.map(async (url, at) => (await jobs[at % 2]!.ask('PUT', url, content)).status),
  );
  assert.equal(ends.filter((status) => status === 201).length, 2);
  assert.equal(ends.filter((status) => status === 507).length, 6);
});

test('a job has so many uploads open, and no more', async () => {
  const job = await lab.job();
  const begun = await Promise.all(
    Array.from({ length: UPLOADS_PER_JOB + 3 }, async (_, at) => {
      return (await job.call('CreateCacheEntry', { key: `k${at}`, version: 'v' })).status;
    }),
  );
  assert.equal(begun.filter((status) => status === 200).length, UPLOADS_PER_JOB);
  assert.equal(begun.filter((status) => status === 413).length, 3);
});

test('two jobs that save the same cache at once: one does', async () => {
  const jobs = await Promise.all([1, 2, 3, 4].map(async () => await lab.job()));
  const saved = await Promise.all(jobs.map(async (job, at) => await job.save('k', `by ${at}`)));
  assert.equal(saved.filter(Boolean).length, 1);
  assert.equal(await jobs[0]!.restore('k'), `by ${saved.indexOf(true)}`);
});

test('whatever is asked in whatever words is answered, and never by a fault of ours', async () => {
  const job = await lab.job();
  const paths = fc.oneof(
    fc.constantFrom(
      '/_apis/artifactcache/caches',
      '/_apis/artifactcache/cache?keys=a&version=v',
      '/_apis/artifactcache/caches/1',
      `${CACHE}constructor`,
      `${CACHE}CreateCacheEntry`,
      `${CACHE}FinalizeCacheEntryUpload`,
      '/twirp/github.actions.results.api.v1.ArtifactService/ListArtifacts',
      '/~results/upload/1?expires=1&sig=1',
      '//~results/upload/1',
    ),
    fc.webPath().map((path) => `/${path}`),
  );
  const bodies = fc.oneof(
    fc.string(),
    fc.json(),
    fc.constant('{"key":{"toString":1},"version":[]}'),
  );
  const methods = fc.constantFrom('GET', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS');
  await fc.assert(
    fc.asyncProperty(methods, paths, bodies, async (method, path, text) => {
      const { status } = await job.ask(method, path.replaceAll(/[^\x21-\x7e]/g, ''), text);
      assert.ok(status >= 200 && status < 500, `${method} ${path}: ${status}`);
    }),
    { numRuns: 300 },
  );
});

test('an address that is none is refused before anything else, and nobody is warned', async () => {
  const job = await lab.job();
  for (const host of ['a:99999', '999.999.999.999', '1.2.3.4.5:80']) {
    for (const authorization of ['', `Bearer ${job.grant.token}`]) {
      const { status } = await job.ask('GET', '/x', undefined, { host, authorization });
      assert.equal(status, 404, host);
    }
  }
});

test('a job that meets the same fault of ours again and again fills no log', async () => {
  const job = await lab.job();
  // As an operator would who clears the directory of a running agent.
  rmSync(join(lab.directory, 'results', 'open'), { recursive: true });
  for (let at = 0; at < WARNINGS_PER_JOB + 5; at++) {
    const { status, json } = await job.call('CreateCacheEntry', { key: `k${at}`, version: 'v' });
    assert.equal(status, 500, JSON.stringify(json));
  }
  const warnings = lab.warnings.splice(0);
  assert.equal(warnings.length, WARNINGS_PER_JOB);
  assert.match(warnings[0] ?? '', new RegExp(job.grant.jobId));
  assert.match(warnings.at(-1) ?? '', /Further faults of this job’s requests are not told/);
});

test('a reader that leaves in the middle harms nothing', async () => {
  const job = await lab.job();
  assert.ok(await job.save('k', 'x'.repeat(5_000_000)));
  const { json } = await job.call('GetCacheEntryDownloadURL', { key: 'k', version: 'v' });
  const url = new URL(String(json['signed_download_url']));
  const stream = job.link.request({
    ':authority': url.host,
    ':path': `/results${url.pathname}${url.search}`,
  });
  stream.on('error', () => {});
  await once(stream, 'data');
  stream.close(constants.NGHTTP2_CANCEL);
  assert.equal((await job.restore('k'))?.length, 5_000_000);
});
