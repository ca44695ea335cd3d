/**
 * The results endpoint against requests that are nearly right: those of GitHub's clients, with fields,
 * addresses and bodies changed here and there. Random bodies end at the door; these get behind it, and a
 * floor on how many are obeyed says so. Whatever comes, the answer is one of the protocol's, the store
 * has no file but its own, and an honest client goes on.
 */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import type { RepositoryName } from '@onejob/protocol';
import fc from 'fast-check';
import { checkLeaksAfterEach } from './_leaks.ts';
import { type HttpAnswer, type LabJob, ResultsLab } from './_results-lab.ts';

const TWIRP = '/twirp/github.actions.results.api.v1.';
const V1 = '/_apis/artifactcache/';

let lab: ResultsLab;
let job: LabJob;
beforeEach(async () => {
  lab = await ResultsLab.open();
  job = await lab.job();
});
afterEach(async () => {
  await lab[Symbol.asyncDispose]();
  assert.deepEqual(lab.warnings, [], 'a hostile request is not our fault');
});
checkLeaksAfterEach();

const hostile = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    true,
    -1,
    1.5,
    1e300,
    '',
    '..',
    '../../x',
    '/etc/passwd',
    '\0',
    '*',
  ),
  fc.constantFrom<unknown>(
    '__proto__',
    'constructor',
    'sha256:',
    '9'.repeat(16),
    '-0',
    '\ud800',
    'a,b',
  ),
  fc.constantFrom<unknown>([], {}, [[]], { toString: 1 }, ['a', 1], 'x'.repeat(600)),
  fc.string({ unit: 'binary', maxLength: 20 }),
);
const mostly = (...values: unknown[]): fc.Arbitrary<unknown> =>
  fc.oneof({ weight: 30, arbitrary: fc.constantFrom(...values) }, hostile);
/** Places in a text, with what is put there. */
const edits = fc.oneof(
  { weight: 12, arbitrary: fc.constant([]) },
  fc.array(
    fc.record({
      at: fc.nat(200),
      cut: fc.nat(4),
      put: fc.constantFrom('"', '}', '\\', '\ud800', ','),
    }),
    { maxLength: 2 },
  ),
);
type Edits = readonly { at: number; cut: number; put: string }[];
const edited = (text: string, changes: Edits): string =>
  changes.reduce((to, { at, cut, put }) => to.slice(0, at) + put + to.slice(at + cut), text);

const key = mostly('a', 'npm-1');
const version = mostly('v');
const named = { key, version };
const artifactName = mostly('one');

/** What bodies of the calls are made of, beside the ids of artifacts. */
const CALLS: Record<string, fc.Arbitrary<Record<string, unknown>>> = {
  'CacheService/CreateCacheEntry': fc.record(named),
  'CacheService/FinalizeCacheEntryUpload': fc.record({ ...named, size_bytes: mostly('7', 7, '0') }),
  'CacheService/GetCacheEntryDownloadURL': fc.record(
    { ...named, restore_keys: mostly(['a'], ['npm-', 'b'], []) },
    { requiredKeys: ['key', 'version'] },
  ),
  'ArtifactService/CreateArtifact': fc.record({
    name: artifactName,
    version: mostly(7),
    mime_type: mostly('application/zip'),
    expires_at: mostly('2999-01-01T00:00:00Z', '1999-01-01T00:00:00Z'),
  }),
  'ArtifactService/FinalizeArtifact': fc.record({ name: artifactName, size: mostly('7', 7) }),
  'ArtifactService/ListArtifacts': fc.record(
    { name_filter: mostly('one'), id_filter: mostly('1', 2) },
    { requiredKeys: [] },
  ),
  'ArtifactService/GetSignedArtifactURL': fc.record({ name: artifactName }),
  'ArtifactService/DeleteArtifact': fc.record({ name: artifactName }),
};

type Asked = { path: string; body: string };
/** Made when it is asked: a job knows its ids then. */
const twirp: fc.Arbitrary<() => Asked> = fc.constantFrom(...Object.keys(CALLS)).chain((call) =>
  fc.tuple(CALLS[call]!, mostly(0), mostly(0), edits).map(([fields, run, own, changes]) => () => {
    const ids = {
      workflow_run_backend_id: run === 0 ? job.grant.runId : run,
      workflow_job_run_backend_id: own === 0 ? job.grant.jobId : own,
    };
    const body = { ...(call.startsWith('Artifact') ? ids : {}), ...fields };
    return { path: `${TWIRP}${call}`, body: edited(JSON.stringify(body), changes) };
  }),
);

/** An answer of the protocol, whatever was asked. */
function assertAnswer({ body, headers, status }: HttpAnswer, asked: string): void {
  assert.ok(status >= 200 && status < 500, `${status} for ${asked}: ${body}`);
  if (status >= 400 && (headers['content-type'] ?? '').includes('json')) {
    const { msg, code } = JSON.parse(body) as Record<string, unknown>;
    assert.ok(typeof msg === 'string' && msg.length < 1000 && typeof code === 'string', body);
  }
}

/** Files have names of the store's own: no key, name or id of a request is part of a path. */
function assertOwnFiles(): void {
  for (const file of [...lab.files('open'), ...lab.files('kept')]) {
    assert.match(file, /^[\w./-]{1,200}$/);
    assert.doesNotMatch(file, /passwd|proto|constructor|npm/);
  }
}

let repositories = 0;
/** Of a repository of its own: what earlier jobs left is in nobody's way. */
async function freshJob(): Promise<void> {
  await job[Symbol.asyncDispose]();
  const name = `acme/app-${++repositories}`;
  job = await lab.job({ repository: name as RepositoryName });
}

type Done = { obeyed: number; uploads: number };

/** Asks one thing after the other; most uploads that are begun get their bytes. */
async function askAll(asks: readonly (() => Asked)[], uploads: boolean, done: Done): Promise<void> {
  for (const ask of asks) {
    const { body, path } = ask();
    const answer = await job.ask('POST', path, body);
    assertAnswer(answer, `${path} ${body}`);
    if (answer.status !== 200) continue;
    done.obeyed++;
    const { signed_upload_url: address } = JSON.parse(answer.body) as Record<string, unknown>;
    if (typeof address !== 'string' || !uploads) continue;
    assert.equal((await job.ask('PUT', address, 'content')).status, 201);
    done.uploads++;
  }
}

test('calls of nearly the right shape are obeyed or refused, upload by upload', async () => {
  const done = { obeyed: 0, uploads: 0 };
  const uploads = fc.constantFrom(true, true, true, false);
  await fc.assert(
    fc
      .asyncProperty(
        fc.array(twirp, { minLength: 6, maxLength: 14 }),
        uploads,
        async (asks, fills) => {
          await askAll(asks, fills, done);
          assertOwnFiles();
        },
      )
      .beforeEach(async () => await freshJob()),
    { numRuns: 120 },
  );
  assert.ok(done.obeyed > 150 && done.uploads > 40, JSON.stringify(done));
  await freshJob();
  assert.ok(await job.save('honest', 'content'));
  assert.equal(await job.restore('honest'), 'content');
});

const digits = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom('0', '3', '6', '7') },
  fc.constantFrom('-1', '1e3', '', ' ', '9'.repeat(16), 'x', '0x3'),
);
const piece = fc
  .tuple(digits, digits, fc.constantFrom('*', '*', '*', '7', ''))
  .map(([first, last, all]) => `bytes ${first}-${last}/${all}`);

test('version 1 of the cache protocol: pieces, sizes and numbers that nearly fit', async () => {
  let whole = 0;
  await fc.assert(
    fc.asyncProperty(
      fc.record({ key, version, size: mostly(4, 7) }),
      fc.array(fc.tuple(piece, fc.constantFrom('abcd', 'efg', '')), { maxLength: 3 }),
      fc.tuple(fc.boolean(), mostly('')),
      edits,
      async ({ size, ...name }, pieces, [isHonest, suffix], changes) => {
        const made = await job.ask('POST', `${V1}caches`, edited(JSON.stringify(name), changes));
        assertAnswer(made, JSON.stringify(name));
        if (made.status !== 201) return;
        const { cacheId } = JSON.parse(made.body) as { cacheId: number };
        const path = `${V1}caches/${cacheId}${encodeURIComponent(JSON.stringify(suffix).slice(1, -1))}`;
        if (isHonest) await job.ask('PATCH', path, 'abcd', { 'content-range': 'bytes 0-3/*' });
        for (const [range, text] of pieces) {
          assertAnswer(await job.ask('PATCH', path, text, { 'content-range': range }), range);
        }
        const ended = await job.ask('POST', path, JSON.stringify({ size }));
        assertAnswer(ended, `${path} ${JSON.stringify(size)}`);
        if (ended.status === 200) whole++;
        await freshJob();
      },
    ),
    { numRuns: 160 },
  );
  assert.ok(whole > 5, `${whole} caches were saved`);
  assertOwnFiles();
});

test('signed addresses and lists of blocks with a few changes open nothing else', async () => {
  let taken = 0;
  await fc.assert(
    fc.asyncProperty(
      edits,
      edits,
      fc.constantFrom('block', 'blocklist', ''),
      async (inUrl, inList, comp) => {
        const begun = await job.call('CreateCacheEntry', { key: `k${lab.nowMs++}`, version: 'v' });
        const address = String(begun.json['signed_upload_url']).replace(job.origin, '');
        const id = Buffer.from('block-1').toString('base64');
        await job.ask('PUT', `${address}&comp=block&blockid=${encodeURIComponent(id)}`, 'content');
        const list = `<?xml version="1.0"?><BlockList><Latest>${id}</Latest></BlockList>`;
        const path = edited(address, inUrl).replaceAll(/[^\x21-\x7e]/g, '%00');
        const answer = await job.ask('PUT', `${path}&comp=${comp}`, edited(list, inList));
        assertAnswer(answer, path);
        if (answer.status !== 201) return await freshJob();
        assert.equal(path, address, 'an address that was changed is worth nothing');
        taken++;
        await freshJob();
      },
    ),
    { numRuns: 120 },
  );
  assert.ok(taken > 10, `${taken} were taken`);
  assertOwnFiles();
});
