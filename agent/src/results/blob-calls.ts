/**
 * Bytes by signed addresses, as GitHub's clients send them: the part of Azure's blob protocol that they
 * use ("Put Blob", "Put Block", "Put Block List", and a plain GET).
 */
import type { Answer, Call } from './answer.ts';
import { BLOCK_ID_CHARACTERS, BLOCK_LIST_BYTES, ENTRY_BYTES } from './limits.ts';
import { receiveText } from './receive.ts';
import { ResultsRefused } from './refused.ts';
import type { Body, Entry } from './store.ts';

const AZURE_VERSION = '2026-02-06';
const MAY_DOWNLOAD = ['GET', 'HEAD'];

const azureHeaders = (id: number): Record<string, string> => ({
  etag: `"${id}"`,
  'last-modified': new Date().toUTCString(),
  'x-ms-request-id': String(id),
  'x-ms-version': AZURE_VERSION,
});

/** @throws ResultsRefused */
export async function answerBlob(call: Call): Promise<Answer> {
  const { operation, id } = call.results.signer.verify(call.url);
  if (operation === 'upload' && call.method === 'PUT') return await upload(call, id);
  if (operation === 'download' && MAY_DOWNLOAD.includes(call.method)) {
    return await download(call, id);
  }
  throw new ResultsRefused('permission_denied', `This address is not for ${call.method}.`);
}

async function upload(call: Call, id: number): Promise<Answer> {
  const { results, url, stream } = call;
  const target = results.upload(id);
  const what = url.searchParams.get('comp');
  if (what === 'block') {
    await target.putBlock(url.searchParams.get('blockid') ?? '', bodyOf(call));
  } else if (what === 'blocklist') {
    const ids = await results.inTurn(async () =>
      readBlockList(await receiveText(stream, BLOCK_LIST_BYTES)),
    );
    await target.commit(ids);
  } else if (what === null) {
    await target.putWhole(bodyOf(call));
  } else {
    throw new ResultsRefused('bad_route', 'Uploads are single, by block, or a list of blocks.');
  }
  return { status: 201, headers: azureHeaders(id) };
}

function bodyOf({ headers, stream }: Call): Body {
  const length = headers['content-length'];
  if (typeof length !== 'string' || !/^\d{1,15}$/.test(length)) {
    throw new ResultsRefused('invalid_argument', 'An upload says its length in `Content-Length`.');
  }
  const sizeBytes = Number(length);
  if (sizeBytes > ENTRY_BYTES) {
    const message = `A cache or artifact has at most ${ENTRY_BYTES} bytes.`;
    throw new ResultsRefused('resource_exhausted', message);
  }
  return { stream, sizeBytes };
}

const LIST_BEGIN = '<BlockList>';
const LIST_END = '</BlockList>';
/** One place is one match, whatever stands there: the time it takes grows with the text only. */
const LIST_ITEM = new RegExp(
  String.raw`<(Latest|Uncommitted)>([A-Za-z0-9+/=]{1,${BLOCK_ID_CHARACTERS}})</\1>|\S`,
  'g',
);

/** Ids are base64: there is nothing to unescape in them. */
function readBlockList(xml: string): string[] {
  const begin = xml.indexOf(LIST_BEGIN);
  const end = xml.lastIndexOf(LIST_END);
  if (begin < 0 || end < begin || xml.slice(end + LIST_END.length).trim() !== '') {
    throw new ResultsRefused('malformed', 'This is no list of blocks.');
  }
  const ids: string[] = [];
  for (const [, , id] of xml.slice(begin + LIST_BEGIN.length, end).matchAll(LIST_ITEM)) {
    if (id === undefined) {
      throw new ResultsRefused('malformed', 'The list of blocks names something else.');
    }
    ids.push(id);
  }
  return ids;
}

async function download({ results, method }: Call, id: number): Promise<Answer> {
  const entry = await results.store.find(results.grant.repository, { id });
  if (entry === undefined) {
    throw new ResultsRefused('not_found', 'It is not kept any more.');
  }
  const headers = {
    'content-type': entry.mimeType,
    'content-length': String(entry.sizeBytes),
    'content-disposition': disposition(entry),
    ...azureHeaders(id),
  };
  if (method === 'HEAD') return { status: 200, headers };
  const content = await results.store.read(results.grant.repository, entry);
  return { status: 200, headers, content };
}

function disposition({ name }: Entry): string {
  const file = name.kind === 'cache' ? 'cache' : name.name;
  return `attachment; filename*=UTF-8''${encodeURIComponent(file)}`;
}
