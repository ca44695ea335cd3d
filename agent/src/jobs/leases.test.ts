/** The leases' clock, in simulated time, against a control plane that answers as each test says. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, mock, test } from 'node:test';
import { Code, ConnectError } from '@connectrpc/connect';
import type { HeartbeatRequest } from '@onejob/protocol/agent-service';
import { LEASE_KILL_MARGIN_MS, LEASE_MS } from '@onejob/protocol/limits';
import type { ControlPlaneClient } from '../control-plane/client.ts';
import { Leases, type LeaseHolder } from './leases.ts';

type Answer = { commands: unknown[]; leaseMs: number; drain: boolean };
type Beat = {
  request: HeartbeatRequest;
  answer: (how: Partial<Answer>) => void;
  fail: (error: Error) => void;
};

let nowMs = 0;
let beats: Beat[] = [];
let announced: string[] = [];
let stop = new AbortController();
let leases: Leases;
let running: Promise<void>;

const REFUSED = new ConnectError(
  'down',
  Code.Unavailable,
  undefined,
  undefined,
  Object.assign(new Error('refused'), { code: 'ECONNREFUSED' }),
);
const HUNG = new ConnectError('late', Code.DeadlineExceeded);

beforeEach(() => {
  nowMs = 1_000_000;
  [beats, announced, stop] = [[], [], new AbortController()];
  mock.timers.enable({ apis: ['setInterval'] });
  mock.method(performance, 'now', () => nowMs);
  const rpc = {
    heartbeat: async (request: HeartbeatRequest, { signal }: { signal: AbortSignal }) =>
      await new Promise((resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
        beats.push({
          request,
          answer: (how) => resolve({ commands: [], leaseMs: LEASE_MS, drain: false, ...how }),
          fail: reject,
        });
      }),
  };
  leases = new Leases(
    { rpc, credential: 'mine' } as unknown as ControlPlaneClient,
    () => 3,
    async (used) => await Promise.resolve(void announced.push(used)),
  );
  running = leases.run(stop.signal);
});
afterEach(async () => {
  stop.abort();
  await running;
  mock.timers.reset();
  mock.restoreAll();
});

function holder(jobId = 'a-job') {
  const heard: string[] = [];
  const one: LeaseHolder = {
    lease: { jobId, attempt: 1, epoch: 7n, sessionCredential: 's' },
    cancel: (reason, graceMs, kill) => heard.push(`${reason} ${graceMs} ${kill}`),
    fence: (why) => heard.push(`fenced: ${why}`),
  };
  return { heard, one };
}

const turn = async (): Promise<void> => await new Promise((resolve) => setImmediate(resolve));

/** Lets time pass, second by second, as the watch sees it. */
function pass(ms: number): void {
  for (let passed = 0; passed < ms; passed += 1_000) {
    nowMs += 1_000;
    mock.timers.tick(1_000);
  }
}

/** The heartbeat under way, once there is one more than `seen`. */
async function beat(seen: number): Promise<Beat> {
  while (beats.length <= seen) await turn();
  return beats[beats.length - 1]!;
}

test('a new lease is in the very next heartbeat, which is begun at once', async () => {
  await beat(0);
  const { one } = holder();
  leases.hold(one, nowMs, LEASE_MS);
  const second = await beat(1);
  assert.deepEqual(second.request.leases, [one.lease]);
});

test('without an answer a lease is fenced before it could end, and not a margin too early', async () => {
  const { heard, one } = holder();
  leases.hold(one, nowMs, LEASE_MS);
  pass(LEASE_MS - LEASE_KILL_MARGIN_MS - 1_000);
  assert.deepEqual(heard, []);
  pass(1_000);
  assert.match(heard.join(), /^fenced: no heartbeat/);
  pass(60_000);
  assert.equal(heard.length, 1);
});

test('a term counts from when the answered heartbeat was sent, not from its answer', async () => {
  const { heard, one } = holder();
  leases.hold(one, nowMs, LEASE_MS);
  const under = await beat(0);
  while (under.request.leases.length === 0 && beats.length < 2) await turn();
  pass(40_000);
  beats.at(-1)?.answer({});
  await turn();
  pass(9_000);
  assert.deepEqual(heard, []);
  pass(1_000);
  assert.equal(heard.length, 1);
});

test('a lease that was let go is neither extended nor fenced', async () => {
  const { heard, one } = holder();
  leases.hold(one, nowMs, LEASE_MS)();
  pass(2 * LEASE_MS);
  assert.deepEqual(heard, []);
  beats.at(-1)?.answer({});
  assert.deepEqual((await beat(beats.length)).request.leases, []);
});

test('a proven outage of any length fences nothing, and the term begins again with its end', async () => {
  const { heard, one } = holder();
  leases.hold(one, nowMs, LEASE_MS);
  await turn();
  for (let lasted = 0; lasted < 300_000; lasted += 4_000) {
    await failAndTryAgain(REFUSED);
    pass(4_000);
  }
  assert.deepEqual(heard, []);
  pass(LEASE_MS - LEASE_KILL_MARGIN_MS - 4_000);
  assert.deepEqual(heard, []);
  pass(10_000);
  assert.equal(heard.length, 1);
});

/** The heartbeat under way fails; the next follows at once, as a new lease cuts the pause short. */
async function failAndTryAgain(error: Error): Promise<void> {
  const seen = beats.length;
  beats.at(-1)?.fail(error);
  await turn();
  leases.hold(holder('another').one, nowMs, LEASE_MS)();
  await beat(seen);
}

test('short outages with nothing answered between them do not add up beyond the margin', async () => {
  const { heard, one } = holder();
  leases.hold(one, nowMs, LEASE_MS);
  await turn();
  for (let round = 0; round < 12 && heard.length === 0; round++) {
    await failAndTryAgain(REFUSED);
    pass(5_000);
    await failAndTryAgain(REFUSED); // 5 s of proven outage
    await failAndTryAgain(HUNG);
  }
  assert.equal(heard.length, 1);
  assert.ok(nowMs - 1_000_000 <= LEASE_MS, 'before it could end at the control plane');
});

test('hanging proves nothing: the clock runs', async () => {
  const { heard, one } = holder();
  leases.hold(one, nowMs, LEASE_MS);
  await turn();
  pass(30_000);
  beats.at(-1)?.fail(HUNG);
  await turn();
  pass(20_000);
  assert.equal(heard.length, 1);
});

test('commands reach the lease they name, of this epoch, and no other', async () => {
  const [first, second] = [holder('first'), holder('second')];
  for (const { one } of [first, second]) leases.hold(one, nowMs, LEASE_MS);
  const command = (jobId: string, epoch: bigint, what: unknown) => ({
    jobId,
    attempt: 1,
    epoch,
    what,
  });
  const cancel = (kill: boolean, reason = 'cancelled') => ({
    case: 'cancel',
    value: { reason, graceMs: 5, kill },
  });
  await turn();
  const seen = beats.length;
  beats.at(-1)?.answer({
    commands: [
      command('first', 7n, cancel(false, 'fail_fast')),
      command('first', 7n, cancel(true)),
      command('first', 6n, { case: 'fenced', value: {} }),
      command('third', 7n, { case: 'fenced', value: {} }),
      command('second', 7n, { case: 'fenced', value: {} }),
    ],
    drain: true,
  });
  await beat(seen);
  assert.deepEqual(first.heard, ['fail_fast 5 false', 'cancelled 5 true']);
  assert.match(second.heard.join(), /^fenced: the control plane gave/);
  assert.equal(leases.draining, true);
});

test('a control plane that forgot us is told who we are, with the credential that failed', async () => {
  await turn();
  beats.at(-1)?.fail(new ConnectError('who?', Code.Unauthenticated));
  while (announced.length === 0) await turn();
  assert.deepEqual(announced, ['mine']);
});
