/**
 * A guest runner for tests: speaks `onejob.guest.v1` and does what the job's task says, a list of
 * acts. Started by the process driver like the real one.
 */
import { spawn } from 'node:child_process';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const control = connectHttp2('http://agent', {
  createConnection: () => connect(process.env.ONEJOB_CONTROL_SOCKET),
});
const bulkSocket = connect(process.env.ONEJOB_BULK_SOCKET);
const bulk = connectHttp2('http://agent', { createConnection: () => bulkSocket });
for (const session of [control, bulk]) session.on('error', () => {});

const post = (path) => {
  const stream = control.request(
    { ':method': 'POST', ':path': `/onejob.guest.v1/${path}` },
    { endStream: false },
  );
  stream.on('error', () => {});
  return stream;
};
const lines = (stream, take) => {
  let text = '';
  stream.on('data', (chunk) => {
    text += chunk;
    const whole = text.split('\n');
    text = whole.pop();
    for (const line of whole) take(JSON.parse(line));
  });
};

const hello = post('hello');
hello.end(
  `${JSON.stringify({ protocol: 'onejob.guest.v1', runnerVersion: '1', nodeVersion: '24', uptimeMs: 0 })}\n`,
);
hello.resume();
await new Promise((greeted) => hello.once('end', greeted));

const stream = post('control');
const say = (message) => stream.write(`${JSON.stringify(message)}\n`);
const finish = (reason, more = {}) =>
  say({
    type: 'finished',
    conclusion: 'success',
    reason,
    message: `because: ${reason}`,
    outputs: {},
    atMs: 1,
    ...more,
  });

let offset = 0;
let logs;
let acknowledged = 0;
let isTotalSaid = false;
const log = (...texts) => {
  if (logs === undefined) {
    logs = post('logs');
    lines(logs, ({ ack }) => {
      acknowledged = ack;
    });
  }
  logs.write(
    `${JSON.stringify({ offset, rows: texts.map((text) => ({ step: 0, atMs: 1, text })) })}\n`,
  );
  offset += texts.length;
};

/** One request on the bulk carrier; logs its status. */
const ask = async (method, path, headers, body) => {
  const asked = bulk.request({ ':method': method, ':path': path, ...headers });
  let text = '';
  let status;
  asked.on('response', (answer) => (status = answer[':status']));
  asked.on('data', (chunk) => (text += chunk)).end(body);
  await new Promise((closed) => asked.once('close', closed));
  log(`${method} ${status}`);
  return text === '' ? undefined : JSON.parse(text);
};

const ACTS = {
  /** Saves a cache, up to but without its last call where `isFinished` is not said. */
  cache: async ({ token, key, isFinished }) => {
    const service = '/results/twirp/github.actions.results.api.v1.CacheService';
    const headers = { ':authority': '127.0.0.1:80', authorization: `Bearer ${token}` };
    const named = { key, version: 'v' };
    const begun = await ask('POST', `${service}/CreateCacheEntry`, headers, JSON.stringify(named));
    if (!begun?.ok) return;
    const url = new URL(begun.signed_upload_url);
    const put = { ':authority': url.host, 'content-length': 5 };
    await ask('PUT', `/results${url.pathname}${url.search}`, put, 'bytes');
    if (!isFinished) return;
    const end = JSON.stringify({ ...named, size_bytes: 5 });
    await ask('POST', `${service}/FinalizeCacheEntryUpload`, headers, end);
  },
  /** Asks for an action; logs the status. */
  action: async (query) => {
    const asked = bulk.request({ ':path': `/actions/?${new URLSearchParams(query)}` });
    asked.on('response', (answer) => log(`action ${answer[':status']}`)).resume();
    await new Promise((closed) => asked.once('close', closed));
  },
  log: (text) => log(text),
  mask: (value) => say({ type: 'mask', value }),
  step: (name) => say({ type: 'step', index: 0, phase: 'main', status: 'running', name, atMs: 1 }),
  total: async () => {
    if (isTotalSaid) return;
    isTotalSaid = true;
    logs.write(`${JSON.stringify({ total: offset })}\n`);
    while (acknowledged < offset) await sleep(1);
  },
  finish: async (reason) => {
    if (logs === undefined) log();
    await ACTS.total();
    finish(reason);
  },
  outputs: (outputs) => finish('steps_completed', { outputs }),
  lateLog: async (text) => {
    finish('steps_completed');
    await sleep(50);
    log(text);
    logs.end(`${JSON.stringify({ total: offset })}\n`);
  },
  obeyCancel: () =>
    onMessage(async (message) => {
      if (message.type !== 'cancel') return;
      await ACTS.total();
      finish('cancelled');
    }),
  fail: () => {
    throw new Error('the runner fails');
  },
  leave: () => control.close() ?? stream.end(),
  rubbish: () => say({ type: 'rubbish' }),
  orphan: () =>
    spawn('setsid', ['sleep', '300'], {
      detached: true,
      stdio: 'ignore',
      env: { PATH: process.env.PATH },
    }).unref(),
  write: async (name) => (await import('node:fs')).writeFileSync(name, 'of the job'),
};

const takers = [];
const onMessage = (take) => takers.push(take);
lines(stream, (message) => {
  for (const take of takers) take(message);
});
onMessage(async (message) => {
  if (message.type !== 'job') return;
  for (const [act, argument] of message.task.acts) await ACTS[act](argument);
});
say({ type: 'ready' });
setInterval(() => {}, 1000);
