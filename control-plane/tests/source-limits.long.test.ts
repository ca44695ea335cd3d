/** What one job may take of the source: hostile requests over the real socket, beside honest ones. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import { connect as connectSocket } from 'node:net';
import { test } from 'node:test';
import { SESSION_CREDENTIAL_HEADER } from '@onejob/protocol/agent-service';
import { SOURCE_REQUESTS_PER_JOB } from '@onejob/protocol/limits';
import { SOURCE_REQUEST_BYTES } from '../src/limits.ts';
import { type Leased, TestAgent } from './_agent.ts';
import { Platform } from './_platform.ts';

const WORKFLOW = `on: push
jobs: { build: { runs-on: ubuntu-latest, steps: [{ run: 'true' }] } }
`;
const REQUESTS = 2 * SOURCE_REQUESTS_PER_JOB;
const REFS = 'info/refs?service=git-upload-pack';

/** Long enough for git to start on a busy machine. */
const STALL_MS = 6_000;

/** `status`: 0 where it was cut before it was answered. */
type Asking = { stream: ClientHttp2Stream; status: Promise<number>; closed: Promise<void> };

/** What comes until the stream is closed, also where our own side of it was not ended. */
async function textOf({ stream, closed }: Asking): Promise<string> {
  let text = '';
  stream.setEncoding('latin1').on('data', (chunk: string) => (text += chunk));
  await closed;
  return text;
}

/** A platform with a running job of each repository, and one agent's connection. */
class Jobs implements AsyncDisposable {
  readonly platform: Platform;
  readonly #session: ClientHttp2Session;
  readonly #agent: TestAgent;

  private constructor(platform: Platform, agent: TestAgent) {
    this.platform = platform;
    this.#agent = agent;
    this.#session = connect('http://agent.local', {
      createConnection: () => connectSocket(platform.controlPlane.agentSocketPath),
    });
    this.#session.on('error', () => {});
  }

  static async start(sourceStallMs: number): Promise<Jobs> {
    const platform = await Platform.start({ sourceStallMs });
    return new Jobs(platform, await TestAgent.announce(platform, { slots: 8 }));
  }

  async of(repository: string, more: Record<string, string> = {}) {
    const sha = await this.platform.snapshot(
      { '.github/workflows/ci.yml': WORKFLOW, ...more },
      repository,
    );
    await this.platform.createRuns({ sha, repository });
    return { sha, leased: await this.#agent.start() };
  }

  /** A request of a job; without a body a GET, and one that is undefined never ends. */
  ask(leased: Leased, service: string, ...body: (string | undefined)[]): Asking {
    const stream = this.#session.request(
      {
        ':method': body.length === 0 ? 'GET' : 'POST',
        ':path': `/source/${leased.jobId}/1/${service}`,
        'content-type': 'application/x-git-upload-pack-request',
        [SESSION_CREDENTIAL_HEADER]: leased.lease.sessionCredential,
      },
      { endStream: body.length === 0 },
    );
    stream.on('error', () => {});
    const [sent] = body;
    if (sent !== undefined) stream.end(sent);
    const { promise: status, resolve } = Promise.withResolvers<number>();
    stream.once('response', (headers) => resolve(Number(headers[':status'])));
    const closed = once(stream, 'close').then(() => resolve(0));
    return { stream, status, closed };
  }

  async refs(leased: Leased): Promise<number> {
    const { stream, status } = this.ask(leased, REFS);
    stream.resume();
    return await status;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#session.destroy();
    await this.platform[Symbol.asyncDispose]();
  }
}

const line = (words: string): string =>
  `${(words.length + 4).toString(16).padStart(4, '0')}${words}`;
const wanting = (sha: string): string => `${line(`want ${sha}\n`)}0000${line('done\n')}`;

test('a job with 64 open requests does not keep others from fetching, and is cut', async () => {
  await using jobs = await Jobs.start(STALL_MS);
  const evil = await jobs.of('evil/app');
  const sibling = await jobs.of('evil/app', { more: 'x' });
  const good = await jobs.of('good/app');
  const open = Array.from({ length: 64 }, () =>
    jobs.ask(evil.leased, 'git-upload-pack', undefined),
  );
  let refused = 0;
  const told = open.map(async (asking) => {
    if ((await asking.status) !== 429) return;
    refused += 1;
    assert.match(await textOf(asking), /^A job may have 4 fetches under way\. Let one end/);
  });
  await jobs.platform.eventually(
    async () => await Promise.resolve(refused),
    (count) => count === 64 - REQUESTS,
  );
  assert.equal(await jobs.refs(evil.leased), 429);
  for (const { leased, sha } of [sibling, good]) {
    assert.equal(await jobs.refs(leased), 200);
    const fetching = jobs.ask(leased, 'git-upload-pack', wanting(sha));
    assert.equal(await fetching.status, 200);
    assert.match(await textOf(fetching), /PACK/);
  }
  await Promise.all(told);
  const statuses = await Promise.all(open.map(async ({ status }) => await status));
  assert.equal(statuses.filter((status) => status === 408).length, REQUESTS);
  // The rest of what they send is not waited for.
  await Promise.all(open.map(async ({ closed, stream }) => (stream.resume(), await closed)));
  assert.equal(await jobs.refs(evil.leased), 200, 'when they are cut, it may fetch');
});

test('who does not read an answer is cut, and git does not wait for it', async () => {
  await using jobs = await Jobs.start(STALL_MS);
  const evil = await jobs.of('evil/app', { large: randomBytes(3 * 1024 * 1024).toString('hex') });
  const unread = Array.from({ length: REQUESTS }, () =>
    jobs.ask(evil.leased, 'git-upload-pack', wanting(evil.sha)),
  );
  for (const { status } of unread) assert.equal(await status, 200);
  assert.equal(await jobs.refs(evil.leased), 429);
  await Promise.all(unread.map(async ({ closed }) => await closed));
  for (const { stream } of unread) {
    assert.notEqual(stream.rstCode, constants.NGHTTP2_NO_ERROR, 'half a pack looks whole');
  }
  assert.equal(await jobs.refs(evil.leased), 200);
});

test('the bodies of one job have the room of one, and a fetch that is too large is told so', async () => {
  await using jobs = await Jobs.start(10 * STALL_MS);
  const { leased } = await jobs.of('acme/app');
  const half = Buffer.alloc(SOURCE_REQUEST_BYTES / 2 + 1);
  const first = jobs.ask(leased, 'git-upload-pack', undefined);
  await new Promise((sent) => first.stream.write(half, sent));
  const second = jobs.ask(leased, 'git-upload-pack', half.toString());
  const answered = await Promise.race([first.status, second.status]);
  assert.equal(answered, 413);
  first.stream.destroy();
  second.stream.destroy();
  await Promise.allSettled([first.closed, second.closed]);
  await jobs.platform.eventually(
    async () => await jobs.refs(leased),
    (status) => status === 200,
  );
});
