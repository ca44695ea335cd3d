/**
 * GitHub's cache service, version 1, below `_apis/artifactcache/`:
 *
 *     GET   cache?keys=a,b&version=     200 with the address of the archive, 204: none
 *     GET   caches?key=                 what a client prints while it debugs
 *     POST  caches                      begins an upload
 *     PATCH caches/<id>                 a piece of it: Content-Range
 *     POST  caches/<id>                 ends it
 *
 * A piece is a block of the upload whose id is where it begins.
 */
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { type Answer, type Call, parseCall } from './answer.ts';
import { cacheToWrite, findCache, listCaches } from './caches.ts';
import { CALL_BYTES, ENTRY_BYTES } from './limits.ts';
import { receiveText } from './receive.ts';
import { ResultsRefused } from './refused.ts';
import type { CacheName, Entry } from './store.ts';

export const CACHE_V1_PREFIX = '/_apis/artifactcache/';

const reserveSchema = Compile(Type.Object({ key: Type.String(), version: Type.String() }));
const commitSchema = Compile(Type.Object({ size: Type.Integer({ minimum: 0 }) }));

const describe = ({ name, createdAtMs }: Entry<CacheName>): Record<string, string> => ({
  scope: name.ref,
  cacheKey: name.key,
  cacheVersion: name.version,
  creationTime: new Date(createdAtMs).toISOString(),
});

async function find({ results, url }: Call): Promise<Answer> {
  const keys = (url.searchParams.get('keys') ?? '').split(',');
  const version = url.searchParams.get('version') ?? '';
  const entry = await findCache(results, { keys, version });
  if (entry === undefined) return { status: 204 };
  const archiveLocation = results.signer.sign(url.origin, 'download', entry.id);
  return { status: 200, json: { ...describe(entry), archiveLocation } };
}

async function list({ results, url }: Call): Promise<Answer> {
  const { count, first } = await listCaches(results, url.searchParams.get('key') ?? '');
  return { status: 200, json: { totalCount: count, artifactCaches: first.map(describe) } };
}

async function reserve({ results, stream }: Call): Promise<Answer> {
  const asked = parseCall(reserveSchema, await receiveText(stream, CALL_BYTES));
  const cacheId = await results.begin(cacheToWrite(results, asked));
  return { status: 201, json: { cacheId } };
}

async function putPiece({ results, headers, stream }: Call, id: number): Promise<Answer> {
  const [, first, last] =
    /^bytes (\d{1,15})-(\d{1,15})\/\*$/.exec(headers['content-range'] as string) ?? [];
  const sizeBytes = Number(last) - Number(first) + 1;
  if (first === undefined || !(sizeBytes > 0) || Number(last) >= ENTRY_BYTES) {
    throw new ResultsRefused(
      'invalid_argument',
      `A piece says its place in \`Content-Range: bytes <first>-<last>/*\`, below ${ENTRY_BYTES}.`,
    );
  }
  await results.upload(id).putBlock(pieceId(Number(first), sizeBytes), { stream, sizeBytes });
  return { status: 204 };
}

/** Sorts by where the piece begins, and says how long it is. */
const pieceId = (first: number, sizeBytes: number): string =>
  `${String(first).padStart(15, '0')}-${sizeBytes}`;

/** The pieces must follow one another from the first byte to the last. */
async function commit({ results, stream }: Call, id: number): Promise<Answer> {
  const { size } = parseCall(commitSchema, await receiveText(stream, CALL_BYTES));
  const upload = results.upload(id);
  const pieces = upload.blockIds().toSorted();
  let end = 0;
  for (const piece of pieces) {
    const [first, sizeBytes] = piece.split('-').map(Number);
    if (first !== end) {
      throw new ResultsRefused(
        'invalid_argument',
        `Of this cache byte ${end} is missing, or sent twice.`,
      );
    }
    end += sizeBytes ?? 0;
  }
  await upload.commit(pieces);
  const entry = await results.finish(upload.draft.name, { sizeBytes: size });
  return { status: 200, json: { cacheId: entry.id } };
}

/** @param path below the prefix */
export async function answerCacheV1(call: Call, path: string): Promise<Answer> {
  const { method, results } = call;
  if (method === 'GET' && path === 'cache') return await results.inTurn(async () => find(call));
  if (method === 'GET' && path === 'caches') return await results.inTurn(async () => list(call));
  if (method === 'POST' && path === 'caches') return await reserve(call);
  const [, id] = /^caches\/(\d{1,15})$/.exec(path) ?? [];
  if (id !== undefined && method === 'PATCH') return await putPiece(call, Number(id));
  if (id !== undefined && method === 'POST') return await commit(call, Number(id));
  throw new ResultsRefused(
    'bad_route',
    `The cache service has no ${method} ${path.slice(0, 100)}.`,
  );
}
