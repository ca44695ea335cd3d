/** What a failed call means, with real sockets where the failure is a socket's. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { Code, ConnectError } from '@connectrpc/connect';
import { checkLeaksAfterEach } from '../../tests/_leaks.ts';
import { callUntilAnswered, classifyFailure, connectControlPlane, provesOutage } from './client.ts';

let directory = '';
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'onejob-client-'));
});
afterEach(() => rmSync(directory, { recursive: true }));
checkLeaksAfterEach();

async function failureOf(path: string, timeoutMs = 5_000): Promise<unknown> {
  const client = connectControlPlane(path);
  try {
    return await client.rpc.heartbeat({}, { timeoutMs }).then(
      () => undefined,
      (error: unknown) => error,
    );
  } finally {
    client.close();
  }
}

test('a socket that is not there, or that nobody listens on, proves an outage', async () => {
  const missing = await failureOf(join(directory, 'missing'));
  assert.equal(provesOutage(missing), true);
  assert.equal(classifyFailure(missing), 'try_again');
});

test('a control plane that accepts and says nothing, or hangs up, proves nothing', async () => {
  const path = join(directory, 'silent');
  const silent = createServer((socket) => socket.on('error', () => {}).resume()).listen(path);
  const late = await failureOf(path, 100);
  assert.equal(provesOutage(late), false);
  assert.equal(classifyFailure(late), 'try_again');
  await new Promise((closed) => silent.close(closed));
  const rude = createServer((socket) => socket.destroy()).listen(path);
  const hungUp = await failureOf(path);
  assert.equal(provesOutage(hungUp), false);
  assert.equal(classifyFailure(hungUp), 'try_again');
  await new Promise((closed) => rude.close(closed));
});

test('every code is one of: forgotten, gone, or worth another try', () => {
  const gone = [
    'FailedPrecondition',
    'NotFound',
    'PermissionDenied',
    'InvalidArgument',
    'OutOfRange',
  ];
  for (const [name, code] of Object.entries(Code)) {
    if (typeof code !== 'number') continue;
    const expected =
      name === 'Unauthenticated' ? 'unannounced' : gone.includes(name) ? 'gone' : 'try_again';
    assert.equal(classifyFailure(new ConnectError('x', code)), expected, name);
  }
  assert.equal(classifyFailure(new Error('who knows')), 'try_again');
});

test('a call is made until it is answered, refused, or given up', async () => {
  let calls = 0;
  const answered = callUntilAnswered(async () => {
    calls += 1;
    if (calls < 3) throw new ConnectError('busy', Code.Unavailable);
    return await Promise.resolve('answer');
  }, new AbortController().signal);
  assert.equal(await answered, 'answer');
  const refuse = async (): Promise<never> =>
    await Promise.reject(new ConnectError('stale', Code.FailedPrecondition));
  await assert.rejects(callUntilAnswered(refuse, new AbortController().signal), {
    code: 'lease_gone',
  });
  const patience = new AbortController();
  const endless = callUntilAnswered(async () => {
    patience.abort(new Error('enough'));
    return await Promise.reject(new Error('down'));
  }, patience.signal);
  await assert.rejects(endless, /enough/);
});
