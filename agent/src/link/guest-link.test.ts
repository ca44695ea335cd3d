/**
 * The link against hostile guests, over real HTTP/2 on real Unix sockets. Whatever comes, the agent
 * hears of exactly one end, and nothing is thrown at it.
 */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import {
  connect as connectHttp2,
  type ClientHttp2Session,
  type ClientHttp2Stream,
} from 'node:http2';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { GUEST_PATHS, GUEST_PROTOCOL, type GuestMessage, type LogMessage } from '@onejob/protocol';
import { TASK_BYTES } from '@onejob/protocol/limits';
import { checkLeaksAfterEach } from '../../tests/_leaks.ts';
import { GuestLink } from './guest-link.ts';

const HELLO = { protocol: GUEST_PROTOCOL, runnerVersion: '1', nodeVersion: '24', uptimeMs: 0 };
const TASK = Buffer.from('{"a":"task"}');

let directory = '';
let link: GuestLink;
/** The guest's ends. */
let control: Socket;
let bulk: Socket;
let sessions: ClientHttp2Session[] = [];
let ends: string[] = [];
let messages: GuestMessage[] = [];
let rows: LogMessage[] = [];
let greetings = 0;
let ended = Promise.withResolvers<string>();

async function socketPair(name: string): Promise<[Socket, Socket]> {
  const server = createServer({ pauseOnConnect: true }).listen(join(directory, name));
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const guest = connect(join(directory, name));
  guest.on('error', () => {});
  const [host] = await accepted;
  server.close();
  return [host, guest];
}

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), 'onejob-link-'));
  [sessions, ends, messages, rows, greetings] = [[], [], [], [], 0];
  ended = Promise.withResolvers<string>();
  const [hostControl, guestControl] = await socketPair('control');
  const [hostBulk, guestBulk] = await socketPair('bulk');
  [control, bulk] = [guestControl, guestBulk];
  const end = (what: string): void => {
    ends.push(what);
    ended.resolve(what);
  };
  link = new GuestLink(
    { control: hostControl, bulk: hostBulk },
    {
      hello: () => {
        greetings += 1;
        return {
          sandboxId: 's',
          hostname: 'h',
          machineId: '0',
          entropy: '0',
          clockUnixMs: 0,
          network: 'link',
          steered: false,
          actions: { builtin: 'fallback', mirrored: false, serverUrl: '' },
        };
      },
      message: (message) => void messages.push(message),
      log: (message, acknowledge) => {
        rows.push(message);
        if ('rows' in message) acknowledge({ ack: message.offset + message.rows.length });
      },
      connect: (stream) => stream.respond({ ':status': 403 }, { endStream: true }),
      action: (stream) => stream.close(),
      results: (stream) => stream.close(),
      name: (stream) => stream.close(),
      source: () => {
        throw new Error('a fault of ours');
      },
      violation: (error) => end(`violation: ${error.message}`),
      closed: (why) => end(`closed: ${why}`),
    },
  );
});
afterEach(() => {
  link.close();
  for (const session of sessions) session.destroy();
  control.destroy();
  bulk.destroy();
  rmSync(directory, { recursive: true });
});
checkLeaksAfterEach();

function guestSession(socket: Socket): ClientHttp2Session {
  const session = connectHttp2('http://agent', { createConnection: () => socket });
  session.on('error', () => {});
  sessions.push(session);
  return session;
}

function post(session: ClientHttp2Session, path: string, ...lines: unknown[]): ClientHttp2Stream {
  const stream = session.request({ ':method': 'POST', ':path': path }, { endStream: false });
  stream.on('error', () => {});
  for (const line of lines) stream.write(`${JSON.stringify(line)}\n`);
  return stream;
}

async function text(stream: ClientHttp2Stream): Promise<string> {
  const chunks = (await Array.fromAsync(stream)) as Buffer[];
  return Buffer.concat(chunks).toString();
}

/** A guest that has said hello, opened its streams, and got its job. */
async function employed(): Promise<{ session: ClientHttp2Session; stream: ClientHttp2Stream }> {
  const session = guestSession(control);
  const hello = post(session, GUEST_PATHS.hello, HELLO);
  hello.end();
  await text(hello);
  const stream = post(session, GUEST_PATHS.control, { type: 'ready' });
  await link.ready;
  link.sendTask(TASK);
  return { session, stream };
}

/** The one end that was heard, after everything else had time to be heard as well. */
async function theOneEnd(): Promise<string> {
  await ended.promise;
  await sleep(50);
  assert.equal(ends.length, 1, ends.join(' | '));
  return ends[0] ?? '';
}

test('an honest guest greets, gets its job, sends messages and rows, and is acknowledged', async () => {
  const { session, stream } = await employed();
  let job = '';
  stream.on('data', (chunk: Buffer) => {
    job += chunk.toString();
  });
  while (!job.endsWith('\n')) await sleep(1);
  assert.equal(job, '{"type":"job","task":{"a":"task"}}\n');
  stream.write(`${JSON.stringify({ type: 'mask', value: 'x' })}\n`);
  const logs = post(session, GUEST_PATHS.logs, {
    offset: 0,
    rows: [{ step: 0, atMs: 1, text: 'a row' }],
  });
  const [ack] = (await once(logs, 'data')) as [Buffer];
  assert.equal(ack.toString(), '{"ack":1}\n');
  logs.end('{"total":1}\n');
  await link.logEnded;
  assert.deepEqual(
    messages.map((one) => one.type),
    ['ready', 'mask'],
  );
  assert.deepEqual(rows.at(-1), { total: 1 });
  assert.deepEqual(ends, []);
  stream.end();
  assert.match(await theOneEnd(), /^closed: the guest ended its control stream/);
});

test('rows of the log are still taken after the control stream has ended', async () => {
  const { session, stream } = await employed();
  const logs = post(session, GUEST_PATHS.logs);
  stream.end();
  assert.match(await ended.promise, /^closed/);
  logs.end(
    `${JSON.stringify({ offset: 0, rows: [{ step: 0, atMs: 1, text: 'late' }] })}\n{"total":1}\n`,
  );
  await link.logEnded;
  assert.equal(rows.length, 2);
});

/** What a guest may do wrong, and the word by which it is known. */
const OFFENCES: [name: string, word: RegExp, act: () => void | Promise<void>][] = [
  [
    'a control stream before hello',
    /before hello/,
    () => void post(guestSession(control), GUEST_PATHS.control),
  ],
  [
    'a request on bulk before hello',
    /before hello/,
    () => {
      const request = guestSession(bulk).request({ ':path': '/source/x' });
      request.on('error', () => {});
    },
  ],
  [
    'two hellos at once',
    /a second hello/,
    () => {
      const session = guestSession(control);
      post(session, GUEST_PATHS.hello);
      post(session, GUEST_PATHS.hello, HELLO);
    },
  ],
  [
    'an empty hello',
    /an empty hello/,
    () => void post(guestSession(control), GUEST_PATHS.hello).end(),
  ],
  [
    'a hello of another protocol',
    /schema/,
    () =>
      void post(guestSession(control), GUEST_PATHS.hello, {
        ...HELLO,
        protocol: 'onejob.guest.v0',
      }),
  ],
  [
    'a hello with more than its schema',
    /schema/,
    () => void post(guestSession(control), GUEST_PATHS.hello, { ...HELLO, more: 1 }),
  ],
  [
    'a hello of 70 KB',
    /more than 65536 bytes/,
    () => void post(guestSession(control), GUEST_PATHS.hello, 'x'.repeat(70_000)),
  ],
  [
    'an unknown path',
    /unknown path/,
    async () => void post((await employed()).session, '/etc/passwd'),
  ],
  [
    'a GET on control',
    /GET on control/,
    () => {
      guestSession(control)
        .request({ ':path': GUEST_PATHS.hello })
        .on('error', () => {});
    },
  ],
  [
    'a hello after the hello',
    /a second hello/,
    async () => void post((await employed()).session, GUEST_PATHS.hello, HELLO),
  ],
  [
    'a second control stream',
    /a second control/,
    async () => void post((await employed()).session, GUEST_PATHS.control),
  ],
  [
    'a second log stream',
    /a second log/,
    async () => {
      const { session } = await employed();
      post(session, GUEST_PATHS.logs);
      post(session, GUEST_PATHS.logs);
    },
  ],
  [
    'an unknown message',
    /schema/,
    async () => void (await employed()).stream.write('{"type":"exec","command":"id"}\n'),
  ],
  [
    'a message with a field too many',
    /schema/,
    async () => void (await employed()).stream.write('{"type":"mask","value":"x","more":1}\n'),
  ],
  [
    'a message that is not JSON',
    /not JSON/,
    async () => void (await employed()).stream.write('hello\n'),
  ],
  [
    'a stream ended inside a message',
    /inside a message/,
    async () => void (await employed()).stream.end('{"type":'),
  ],
  [
    'a message of 3 MB',
    /more than 2097152 bytes/,
    async () => void (await employed()).stream.write('x'.repeat(3_000_000)),
  ],
  [
    'an end before it has a job',
    /before it has a job/,
    () => {
      const session = guestSession(control);
      post(session, GUEST_PATHS.hello, HELLO).on('response', () =>
        post(session, GUEST_PATHS.control, { type: 'mask', value: 'x' }),
      );
    },
  ],
  [
    'log rows before it has a job',
    /before it has a job/,
    () => {
      const session = guestSession(control);
      post(session, GUEST_PATHS.hello, HELLO).on('response', () =>
        post(session, GUEST_PATHS.logs, { offset: 0, rows: [] }),
      );
    },
  ],
  [
    'a log row without its fields',
    /log message that does not fit/,
    async () => void post((await employed()).session, GUEST_PATHS.logs, { offset: 0, rows: [{}] }),
  ],
  [
    'HTTP/1.1 instead of HTTP/2',
    /broken HTTP\/2 frames/,
    () => void control.write('GET / HTTP/1.1\r\n\r\n'),
  ],
  [
    'random bytes on bulk',
    /broken HTTP\/2 frames/,
    () => void bulk.write(Buffer.alloc(4096, 0xa5)),
  ],
  [
    'a frame larger than was agreed',
    /broken HTTP\/2 frames/,
    () => {
      control.write('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');
      control.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1]));
    },
  ],
];
for (const [name, word, act] of OFFENCES) {
  test(`${name} is a violation, told once`, async () => {
    await act();
    const end = await theOneEnd();
    assert.match(end, /^violation: The guest broke the link's protocol: /);
    assert.match(end, word);
    await link.logEnded;
  });
}

test('a carrier that breaks in the middle of a message is an end, no violation', async () => {
  const { stream } = await employed();
  stream.write('{"type":"mask","val');
  while (messages.length < 1) await sleep(1);
  control.destroy();
  assert.match(await theOneEnd(), /^closed: /);
  await link.logEnded;
});

test('a guest that leaves without a word, before hello or after it, is an end, no violation', async () => {
  bulk.destroy();
  assert.match(await theOneEnd(), /^closed: /);
  control.destroy();
  assert.match(await theOneEnd(), /^closed: /);
});

test('a reset control stream is an end, no violation', async () => {
  const { stream } = await employed();
  stream.close(8);
  assert.match(await theOneEnd(), /^closed: /);
});

test('rapid resets by the thousand end the link and nothing else', async () => {
  const session = guestSession(control);
  const flood = async (): Promise<void> => {
    for (let round = 0; round < 5000 && !session.destroyed && ends.length === 0; round++) {
      post(session, GUEST_PATHS.hello).close(8);
      if (round % 100 === 99) await sleep(0);
    }
  };
  await flood();
  await theOneEnd();
});

test('a flood of open streams is refused beyond the limit, and costs no end by itself', async () => {
  await employed();
  const session = guestSession(bulk);
  await once(session, 'remoteSettings');
  assert.equal(session.remoteSettings.maxConcurrentStreams, 256);
  const requests = Array.from({ length: 400 }, () => post(session, '/nothing', 'x'));
  const statuses = await Promise.all(
    requests.map(async (one) => await once(one, 'response').catch(() => ['reset'])),
  );
  assert.equal(statuses.length, 400);
  assert.deepEqual(ends, []);
});

test('an uploader that nobody reads is held at its window', async () => {
  await employed();
  const session = guestSession(bulk);
  const stream = session.request({ ':method': 'POST', ':path': '/nothing' }, { endStream: false });
  stream.on('error', () => {});
  const [headers] = (await once(stream, 'response')) as [Record<string, unknown>];
  assert.equal(headers[':status'], 404);
  await once(stream, 'close');
  assert.deepEqual(ends, []);
});

test('a guest that never reads the largest job blocks nothing, and goes with the link', async () => {
  const session = guestSession(control);
  const hello = post(session, GUEST_PATHS.hello, HELLO);
  await text(hello);
  post(session, GUEST_PATHS.control, { type: 'ready' }).pause();
  await link.ready;
  control.pause();
  link.sendTask(Buffer.alloc(TASK_BYTES, 0x20));
  link.send({ type: 'kill' });
  await sleep(50);
  assert.deepEqual(ends, []);
});

test('the largest job there may be reaches its guest', async () => {
  const { stream } = await employed();
  let bytes = 0;
  stream.on('data', (chunk: Buffer) => void (bytes += chunk.length));
  const task = Buffer.alloc(TASK_BYTES, 0x20);
  link.sendTask(task);
  const message = (size: number): number => '{"type":"job","task":}\n'.length + size;
  while (bytes < message(TASK.length) + message(task.length) && ends.length === 0) await sleep(5);
  assert.deepEqual(ends, []);
});

test('a guest that reads nothing while it is sent more and more is cut off', async () => {
  await employed();
  control.pause();
  for (let sent = 0; sent < 60 && ends.length === 0; sent++) {
    link.sendTask(Buffer.alloc(1024 * 1024, 0x20));
    await sleep(0);
  }
  assert.match(await theOneEnd(), /does not read/);
});

test('a fault in our own answer to one stream ends that stream only', async () => {
  await employed();
  const stream = guestSession(bulk).request({ ':path': '/source/x/info/refs' });
  stream.on('error', () => {});
  await once(stream, 'close');
  assert.deepEqual(ends, []);
});

test('after close no handler is called, whatever was on its way', async () => {
  const { stream } = await employed();
  stream.write('not json\n');
  link.close();
  link.close();
  link.send({ type: 'kill' });
  await sleep(50);
  assert.deepEqual(ends, []);
});

test('hello is answered once and the guest is greeted once', async () => {
  await employed();
  assert.equal(greetings, 1);
});
