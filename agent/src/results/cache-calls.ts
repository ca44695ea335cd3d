/** GitHub's cache service, version 2: Twirp calls in JSON, bytes by signed addresses. */
import Type from 'typebox';
import { Compile } from 'typebox/compile';
import { type Answer, type Call, Int64, parseCall } from './answer.ts';
import { cacheToWrite, findCache } from './caches.ts';
import { ResultsRefused } from './refused.ts';

const Named = { key: Type.String(), version: Type.String() };
const createSchema = Compile(Type.Object(Named));
const finalizeSchema = Compile(Type.Object({ ...Named, size_bytes: Int64 }));
const findSchema = Compile(
  Type.Object({ ...Named, restore_keys: Type.Optional(Type.Array(Type.String())) }),
);

/** Where writing is denied, only an answer that says so lets the client warn once, and go on. */
async function unlessDenied(act: () => Promise<Answer>): Promise<Answer> {
  try {
    return await act();
  } catch (error) {
    if (!(error instanceof ResultsRefused) || error.reason !== 'permission_denied') throw error;
    return { status: 200, json: { ok: false, message: error.message } };
  }
}

/** By the last part of the path. */
export const CACHE_CALLS: Readonly<Record<string, (call: Call, body: string) => Promise<Answer>>> =
  {
    CreateCacheEntry: async ({ results, url }, body) => {
      const asked = parseCall(createSchema, body);
      return await unlessDenied(async () => {
        const number = await results.begin(cacheToWrite(results, asked));
        const signed_upload_url = results.signer.sign(url.origin, 'upload', number);
        return { status: 200, json: { ok: true, signed_upload_url, message: '' } };
      });
    },

    FinalizeCacheEntryUpload: async ({ results }, body) => {
      const asked = parseCall(finalizeSchema, body);
      return await unlessDenied(async () => {
        const { name } = cacheToWrite(results, asked);
        const entry = await results.finish(name, { sizeBytes: Number(asked.size_bytes) });
        return { status: 200, json: { ok: true, entry_id: String(entry.id), message: '' } };
      });
    },

    GetCacheEntryDownloadURL: async ({ results, url }, body) => {
      const { key, version, restore_keys: restoreKeys = [] } = parseCall(findSchema, body);
      const entry = await findCache(results, { keys: [key, ...restoreKeys], version });
      if (entry === undefined) return { status: 200, json: { ok: false } };
      const signed_download_url = results.signer.sign(url.origin, 'download', entry.id);
      const matched_key = entry.name.key;
      return { status: 200, json: { ok: true, signed_download_url, matched_key } };
    },
  };
