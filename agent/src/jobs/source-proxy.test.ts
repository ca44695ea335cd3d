/** The source proxy between a real guest session and a real upstream: what passes, and what never does. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import {
  connect as connectHttp2,
  constants,
  createServer,
  type ClientHttp2Session,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { checkLeaksAfterEach } from '../../tests/_leaks.ts';
import { SOURCE_REQUESTS_PER_JOB } from '@onejob/protocol/limits';
import { connectControlPlane, type ControlPlaneClient } from '../control-plane/client.ts';
import { SourceProxy, type Source } from './source-proxy.ts';

const SOURCE: Source = {
  path: '/source/job/1',
  token: 'the-token',
  sessionCredential: 'the-session',
};
const basic = (user: string, token: string): string =>
  `Basic ${Buffer.from(`${user}:${token}`).toString('base64')}`;
const AUTHORIZED = { authorization: basic('x-access-token', 'the-token') };
const REFS = '/source/any/thing/info/refs?service=git-upload-pack';
/** Of a request that is one too many: longer than any test, but where its end is what is tested. */
const WAIT_MS = 60_000;
const SHORT_WAIT_MS = 300;

let directory = '';
let servers: Http2Server[] = [];
let guest: ClientHttp2Session;
let client: ControlPlaneClient;
let source: Source | undefined;
let sessions: ServerHttp2Session[] = [];
let upstream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;
let asked: IncomingHttpHeaders[] = [];

async function serve(
  name: string,
  onStream: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
): Promise<string> {
  const server = createServer();
  server.on('session', (session) => sessions.push(session));
  server.on('stream', (stream, headers) => {
    stream.on('error', () => {});
    onStream(stream, headers);
  });
  servers.push(server);
  const path = join(directory, name);
  await new Promise<void>((listening) => server.listen(path, listening));
  return path;
}

/** A guest whose requests wait so long for their turn. */
async function connectGuest(waitMs: number): Promise<ClientHttp2Session> {
  const proxy = new SourceProxy({
    client: { http: () => client.http() },
    source: () => source,
    waitMs,
  });
  const link = await serve(
    `link-${waitMs}`,
    (stream, headers) => void proxy.handle(stream, headers),
  );
  return connectHttp2('http://agent', { createConnection: () => connect(link) });
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'onejob-source-'));
  [servers, sessions, asked, source] = [[], [], [], SOURCE];
  upstream = (stream) => {
    stream.respond({ ':status': 200, 'content-type': 'application/x-git', 'set-cookie': 'a=b' });
    stream.end('refs');
  };
  client = connectControlPlane(
    await serve('upstream', (stream, headers) => {
      asked.push(headers);
      upstream(stream, headers);
    }),
  );
  guest = await connectGuest(WAIT_MS);
});
afterEach(async () => {
  guest.destroy();
  client.close();
  for (const session of sessions) session.destroy();
  for (const server of servers) await new Promise((closed) => server.close(closed));
  rmSync(directory, { recursive: true });
});
checkLeaksAfterEach();

/** Status, headers, body and whether it came whole. */
async function ask(headers: Record<string, string>, body?: string) {
  const stream = guest.request(headers, { endStream: body === undefined });
  stream.on('error', () => {});
  if (body !== undefined) stream.end(body);
  const [answer] = (await once(stream, 'response')) as [IncomingHttpHeaders];
  const chunks: Buffer[] = [];
  stream.on('data', (chunk: Buffer) => chunks.push(chunk));
  await new Promise<void>((closed) => stream.once('close', () => closed()));
  return {
    status: Number(answer[':status']),
    headers: answer,
    body: Buffer.concat(chunks).toString(),
    rstCode: stream.rstCode,
  };
}

/** What the guest asked for before has arrived when this returns. */
async function roundTrip(): Promise<void> {
  assert.equal((await ask({ ':path': '/elsewhere', ...AUTHORIZED })).status, 403);
}

test('refs and packs are fetched with the session credential, not with what the guest shows', async () => {
  const answer = await ask({
    ':path': REFS,
    ...AUTHORIZED,
    'git-protocol': 'version=2',
    cookie: 'c=d',
    'onejob-session': 'forged',
    'onejob-agent': 'forged',
  });
  assert.equal(answer.status, 200);
  assert.equal(answer.body, 'refs');
  assert.equal(answer.headers['content-type'], 'application/x-git');
  assert.equal(answer.headers['set-cookie'], undefined);
  const [headers] = asked;
  assert.equal(headers?.[':path'], '/source/job/1/info/refs?service=git-upload-pack');
  assert.equal(headers?.['onejob-session'], 'the-session');
  assert.equal(headers?.['git-protocol'], 'version=2');
  for (const name of ['authorization', 'cookie', 'onejob-agent'])
    assert.equal(headers?.[name], undefined, name);
  upstream = (stream) => {
    stream.respond({ ':status': 200 });
    stream.pipe(stream);
  };
  const wants = 'want '.repeat(100_000);
  const pack = await ask(
    { ':method': 'POST', ':path': '/source/x/git-upload-pack', ...AUTHORIZED },
    wants,
  );
  assert.equal(pack.body, wants);
  assert.equal(asked[1]?.[':path'], '/source/job/1/git-upload-pack');
});

test('every other method, path and service is refused before it leaves the host', async () => {
  const refused = [
    { ':path': '/source/x/info/refs?service=git-receive-pack' },
    { ':path': '/source/x/info/refs' },
    { ':path': '/source/x/info/refs?service=git-upload-pack&more' },
    { ':path': '/source/x/HEAD' },
    { ':path': '/source/../../api/v1/runs' },
    { ':path': '/elsewhere/info/refs?service=git-upload-pack' },
    { ':path': '/source/x/git-upload-pack' },
    { ':method': 'POST', ':path': '/source/x/git-receive-pack' },
    { ':method': 'POST', ':path': REFS },
    { ':method': 'DELETE', ':path': REFS },
  ];
  for (const headers of refused) {
    assert.equal((await ask({ ...headers, ...AUTHORIZED })).status, 403, JSON.stringify(headers));
  }
  assert.deepEqual(asked, []);
});

test('only the job’s own token opens it', async () => {
  const wrong = [
    undefined,
    basic('x-access-token', 'the-tokeN'),
    basic('x-access-token', 'the-token-and-more'),
    basic('somebody', 'the-token'),
    basic('x-access-token', ''),
    'Bearer the-token',
    'Basic !!!',
    `Basic ${'A'.repeat(5000)}`,
  ];
  for (const authorization of wrong) {
    const answer = await ask({
      ':path': REFS,
      ...(authorization === undefined ? {} : { authorization }),
    });
    assert.equal(answer.status, 401, authorization);
    assert.equal(answer.headers['www-authenticate'], 'Basic realm="onejob"');
  }
  source = { ...SOURCE, token: '' };
  assert.equal(
    (await ask({ ':path': REFS, authorization: basic('x-access-token', '') })).status,
    401,
  );
  assert.deepEqual(asked, []);
});

test('a job without a source, or before its task, has nothing here', async () => {
  for (const none of [undefined, { ...SOURCE, path: '' }]) {
    source = none;
    assert.equal((await ask({ ':path': REFS, ...AUTHORIZED })).status, 404);
  }
});

test('a refused upload is answered although its body goes on', async () => {
  const stream = guest.request(
    { ':method': 'POST', ':path': '/source/x/git-receive-pack', ...AUTHORIZED },
    { endStream: false },
  );
  stream.on('error', () => {});
  stream.write('x'.repeat(10_000));
  const [answer] = (await once(stream, 'response')) as [IncomingHttpHeaders];
  assert.equal(answer[':status'], 403);
  await once(stream, 'close');
});

test('a control plane that is not there, or hangs up before it answers, is a 502', async () => {
  upstream = (stream) => stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  assert.equal((await ask({ ':path': REFS, ...AUTHORIZED })).status, 502);
  upstream = (stream) => stream.session?.destroy();
  assert.equal((await ask({ ':path': REFS, ...AUTHORIZED })).status, 502);
  client.close();
  client = connectControlPlane(join(directory, 'nowhere'));
  assert.equal((await ask({ ':path': REFS, ...AUTHORIZED })).status, 502);
});

test('an answer that breaks off in the middle does not look whole', async () => {
  upstream = (stream) => {
    stream.respond({ ':status': 200 });
    stream.write('half a pack', () => stream.session?.destroy());
  };
  const answer = await ask({ ':path': REFS, ...AUTHORIZED });
  assert.equal(answer.status, 200);
  assert.notEqual(answer.rstCode, constants.NGHTTP2_NO_ERROR);
});

const sendRefs = (stream: ServerHttp2Stream): void => {
  stream.respond({ ':status': 200 });
  stream.end('refs');
};

/** So many requests, of which as many as may are under way; the control plane holds those. */
async function fillTurns(count = SOURCE_REQUESTS_PER_JOB) {
  const held: ServerHttp2Stream[] = [];
  upstream = (stream) => void held.push(stream);
  const open = Array.from({ length: count }, () => ask({ ':path': REFS, ...AUTHORIZED }));
  while (held.length < SOURCE_REQUESTS_PER_JOB) await once(servers[0]!, 'stream');
  return { held, open };
}

/** Two uploads that wait for their turn and are closed, each in its way. */
async function giveUpWaiting(): Promise<void> {
  const upload = { ':method': 'POST', ':path': '/source/x/git-upload-pack', ...AUTHORIZED };
  for (const code of [constants.NGHTTP2_NO_ERROR, constants.NGHTTP2_CANCEL]) {
    const stream = guest.request(upload, { endStream: false });
    stream.on('error', () => {});
    await new Promise((sent) => stream.write('not read while it waits', sent));
    stream.close(code);
    await once(stream, 'close');
  }
}

test('a job has a few requests under way at a time; one that is too many waits for its turn', async () => {
  const { held, open } = await fillTurns(SOURCE_REQUESTS_PER_JOB + 60);
  assert.equal(asked.length, SOURCE_REQUESTS_PER_JOB);
  // The first two end: two others get their turn.
  for (const stream of held.slice(0, 2)) sendRefs(stream);
  while (held.length < SOURCE_REQUESTS_PER_JOB + 2) await once(servers[0]!, 'stream');
  await roundTrip();
  assert.equal(asked.length, SOURCE_REQUESTS_PER_JOB + 2);
  upstream = sendRefs;
  for (const stream of held.slice(2)) stream.close(constants.NGHTTP2_CANCEL);
  const statuses = (await Promise.all(open)).map(({ status }) => status);
  const count = (status: number): number => statuses.filter((each) => each === status).length;
  assert.deepEqual([count(200), count(502)], [60, SOURCE_REQUESTS_PER_JOB]);
});

test('a request for which no turn comes is told so', async () => {
  guest.destroy();
  guest = await connectGuest(SHORT_WAIT_MS);
  const { held, open } = await fillTurns(SOURCE_REQUESTS_PER_JOB + 60);
  const late = await Promise.all(open.slice(SOURCE_REQUESTS_PER_JOB));
  assert.deepEqual(new Set(late.map(({ status }) => status)), new Set([429]));
  assert.match(
    late[0]?.body ?? '',
    /^A job may have 4 fetches under way, and no turn came for 0\.3 s\. Let one/,
  );
  for (const stream of held) stream.close(constants.NGHTTP2_CANCEL);
  await Promise.all(open);
  assert.equal(asked.length, SOURCE_REQUESTS_PER_JOB);
});

test('a guest that gives up waiting, however it does, leaves its turn to the next', async () => {
  const { held, open } = await fillTurns();
  await giveUpWaiting();
  const waiting = ask({ ':path': REFS, ...AUTHORIZED });
  await roundTrip();
  upstream = sendRefs;
  held[0]?.close(constants.NGHTTP2_CANCEL);
  assert.equal((await waiting).status, 200);
  for (const stream of held.slice(1)) stream.close(constants.NGHTTP2_CANCEL);
  assert.deepEqual(new Set((await Promise.all(open)).map(({ status }) => status)), new Set([502]));
});

test('a guest that gave up waiting is not missed when its patience would have ended', async () => {
  guest.destroy();
  guest = await connectGuest(SHORT_WAIT_MS);
  const { held, open } = await fillTurns();
  await giveUpWaiting();
  await new Promise((passed) => setTimeout(passed, SHORT_WAIT_MS));
  for (const stream of held) stream.close(constants.NGHTTP2_CANCEL);
  await Promise.all(open);
  const again = await fillTurns();
  for (const stream of again.held) sendRefs(stream);
  const statuses = (await Promise.all(again.open)).map(({ status }) => status);
  assert.deepEqual(new Set(statuses), new Set([200]));
});

test('a body that the control plane does not wait for does not hold a turn', async () => {
  upstream = (stream) => {
    stream.respond({ ':status': 408 });
    stream.end('too late');
    stream.close();
  };
  const upload = { ':method': 'POST', ':path': '/source/x/git-upload-pack', ...AUTHORIZED };
  for (let turn = 0; turn < 2 * SOURCE_REQUESTS_PER_JOB; turn += 1) {
    const stream = guest.request(upload, { endStream: false });
    stream.on('error', () => {});
    stream.write('0');
    stream.resume();
    const closed = once(stream, 'close');
    const [answer] = (await once(stream, 'response')) as [IncomingHttpHeaders];
    assert.equal(answer[':status'], 408);
    await closed;
  }
});

test('a guest that leaves in the middle ends the request upstream', async () => {
  const left = Promise.withResolvers<void>();
  upstream = (stream) => {
    stream.respond({ ':status': 200 });
    stream.write('first');
    stream.once('close', () => left.resolve());
  };
  const stream = guest.request({ ':path': REFS, ...AUTHORIZED });
  stream.on('error', () => {});
  await once(stream, 'data');
  stream.close(constants.NGHTTP2_CANCEL);
  await left.promise;
});
