/**
 * What the guard costs: decisions a second (an authority as text to the verdict on its addresses), and
 * bytes a second from a guest's carrier through the guard to a target, beside a plain relay between
 * the same two ends in the same process and round. Target: at least 60 % of the relay.
 */
import { once } from 'node:events';
import { mkdtempDisposableSync } from 'node:fs';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { createGuard } from '@onejob/agent/guard';
import { parseAuthority } from '@onejob/agent/guard-authority';
import { compilePolicy, judgeAddresses, judgeTarget } from '@onejob/agent/guard-policy';
import { GuestLink } from '@onejob/agent/guest-link';
import { AUDIT, readJobPolicy, type JobPolicy } from '@onejob/agent/job-policy';
import { newSandboxId } from '@onejob/protocol';
import type { GuestOptions, GuestTimes } from './egress-guest.ts';
import { median, rounded } from './statistics.ts';

const MiB = 1024 * 1024;
const BYTES = 256 * MiB;
const ROUNDS = 7;
const TARGET_RATIO = 0.6;
const DECISIONS = 20_000;
const RULES = 100;

/** What is asked for, and what a resolver answers; two of three are let on. */
const TARGETS: readonly { authority: string; answered: readonly string[] }[] = [
  { authority: 'registry.example.org:443', answered: ['93.184.215.14', '2606:4700::6810:84e5'] },
  { authority: '93.184.215.14:443', answered: ['93.184.215.14'] },
  { authority: '[2606:4700::1111]:443', answered: ['2606:4700::1111'] },
  {
    authority: 'deb.example.org:80',
    answered: Array.from({ length: 4 }, (_, at) => `93.1.2.${at}`),
  },
  { authority: 'rebind.example.org:80', answered: ['93.184.215.14', '10.0.0.1'] },
  { authority: '169.254.169.254:80', answered: ['169.254.169.254'] },
];

function decisionsPerSecond(jobPolicy: JobPolicy): number {
  const policy = compilePolicy({});
  const own = ['203.0.113.7', '10.1.2.3', 'fe80::1', '127.0.0.1', '::1'];
  const perSecond: number[] = [];
  for (let round = -1; round < ROUNDS; round += 1) {
    let allowed = 0;
    const startMs = performance.now();
    for (let count = 0; count < DECISIONS; count += 1) {
      const { authority, answered } = TARGETS[count % TARGETS.length]!;
      const target = parseAuthority(authority);
      const verdict =
        judgeTarget(target, policy, jobPolicy) ?? judgeAddresses(target, answered, policy, own);
      if (verdict.verdict === 'allowed') allowed += 1;
    }
    const tookMs = performance.now() - startMs;
    if (allowed === 0 || allowed === DECISIONS) throw new Error('every verdict was the same');
    if (round >= 0) perSecond.push((DECISIONS / tookMs) * 1000);
  }
  return Math.round(median(perSecond));
}

/** The first connection to a socket's name, which nobody has read from. */
async function firstConnection(path: string, server: Server): Promise<Socket> {
  server.listen(path);
  const [socket] = (await once(server, 'connection')) as [Socket];
  return socket;
}

/** The agent's end of both: the link with its guard, and a relay that does nothing else. */
async function serve(paths: Omit<GuestOptions, 'authority' | 'bytes' | 'rounds'>, port: number) {
  await using undo = new AsyncDisposableStack();
  const servers = {
    control: createServer({ pauseOnConnect: true }),
    bulk: createServer({ pauseOnConnect: true }),
    relay: createServer({ allowHalfOpen: true }, (client) => {
      const target = connect({ host: '127.0.0.1', port, allowHalfOpen: true, noDelay: true });
      for (const socket of [client, target]) socket.on('error', () => {});
      client.pipe(target);
      target.pipe(client);
    }),
  };
  for (const server of Object.values(servers)) undo.defer(() => void server.close());
  const sandboxId = newSandboxId();
  const guard = createGuard({ records: () => {}, hazardousReachableLoopback: 'only-in-tests' });
  let link: GuestLink | undefined;
  undo.defer(() => link?.close());
  void Promise.all([
    firstConnection(paths.controlSocketPath, servers.control),
    firstConnection(paths.bulkSocketPath, servers.bulk),
  ]).then(([control, bulk]) => {
    link = new GuestLink(
      { control, bulk },
      {
        hello: () => ({
          ...{ sandboxId, hostname: sandboxId, machineId: '0'.repeat(32), entropy: '' },
          ...{ clockUnixMs: Date.now(), network: 'link', steered: false },
          actions: { builtin: 'never', mirrored: false, serverUrl: '' },
        }),
        connect: (stream, authority) =>
          void guard.handleConnect(stream, authority, { sandboxId, policy: () => AUDIT }),
        message: () => {},
        log: () => {},
        source: (stream) => stream.close(),
        action: (stream) => stream.close(),
        results: (stream) => stream.close(),
        name: (stream) => stream.close(),
        violation: (error) => process.stderr.write(`bench: ${error.message}\n`),
        closed: () => {},
      },
    );
  });
  servers.relay.listen(paths.relayPath);
  await once(servers.relay, 'listening');
  const owned = undo.move();
  return { [Symbol.asyncDispose]: async () => await owned.disposeAsync() };
}

async function said<T>(worker: Worker): Promise<T> {
  const { promise, resolve, reject } = Promise.withResolvers<T>();
  worker.once('message', resolve).once('error', reject);
  return await promise;
}

async function throughput(): Promise<GuestTimes> {
  await using undo = new AsyncDisposableStack();
  const directory = undo.use(mkdtempDisposableSync(join(tmpdir(), 'onejob-egress-')));
  const start = (file: URL, workerData: unknown): Worker => {
    const worker = new Worker(file, { workerData });
    undo.defer(async () => void (await worker.terminate()));
    return worker;
  };
  const port = await said<number>(
    start(new URL('./egress-target.ts', import.meta.url), { bytes: BYTES }),
  );
  const paths = {
    controlSocketPath: join(directory.path, 'control.sock'),
    bulkSocketPath: join(directory.path, 'bulk.sock'),
    relayPath: join(directory.path, 'relay.sock'),
  };
  undo.use(await serve(paths, port));
  const guest: GuestOptions = {
    ...paths,
    ...{ authority: `127.0.0.1:${port}`, bytes: BYTES, rounds: ROUNDS },
  };
  return await said<GuestTimes>(start(new URL('./egress-guest.ts', import.meta.url), guest));
}

export async function benchEgress(): Promise<Record<string, unknown>> {
  const list = Array.from({ length: RULES - 1 }, (_, at) => `*.host${at}.example.net:443`);
  const allowList = readJobPolicy(['audit', [...list, '*.example.org'].join(' ')]);
  const audit = decisionsPerSecond(AUDIT);
  const listed = decisionsPerSecond(allowList);
  const times = await throughput();
  const perSecond = (all: readonly number[]): number => BYTES / 1000 / median(all);
  const ratio = (direction: 'Down' | 'Up'): number =>
    median(
      times[`relay${direction}`].map((relayMs, at) => relayMs / times[`guard${direction}`][at]!),
    );
  const worst = Math.min(ratio('Down'), ratio('Up'));
  return {
    conditions: { bytes: BYTES, rounds: ROUNDS, carrier: 'Unix socket', target: '127.0.0.1' },
    decisionsPerSecond: { audit, allowListOf100Rules: listed },
    openMs: {
      guard: rounded(median(times.guardOpen), 2),
      relay: rounded(median(times.relayOpen), 2),
    },
    mbPerSecond: {
      guardDown: Math.round(perSecond(times.guardDown)),
      relayDown: Math.round(perSecond(times.relayDown)),
      guardUp: Math.round(perSecond(times.guardUp)),
      relayUp: Math.round(perSecond(times.relayUp)),
    },
    ratioToRelay: { down: rounded(ratio('Down'), 2), up: rounded(ratio('Up'), 2) },
    targetRatio: TARGET_RATIO,
    isTargetMet: worst >= TARGET_RATIO,
  };
}
