/**
 * The guest's end of a measured connection, in a thread of its own: the guest runner's own side of
 * the link, and beside it a plain socket to a plain relay, in turns.
 */
import { once } from 'node:events';
import { connect } from 'node:net';
import type { Duplex } from 'node:stream';
import { parentPort, workerData } from 'node:worker_threads';
import { openTunnel } from '@onejob/guest-runner/tunnel';
import { openGreetedSessions } from './greeted-sessions.ts';

export type GuestOptions = {
  controlSocketPath: string;
  bulkSocketPath: string;
  relayPath: string;
  /** `host:port` of the target. */
  authority: string;
  bytes: number;
  rounds: number;
};
/** Milliseconds of each round. */
export type GuestTimes = Record<
  'guardDown' | 'guardUp' | 'relayDown' | 'relayUp' | 'guardOpen' | 'relayOpen',
  number[]
>;

/** Connections that are opened and closed again, and some before that nobody counts. */
const OPENS = 100;
const WARM_UP = 20;
const CHUNK = Buffer.alloc(64 * 1024, 'onejob');

async function down(stream: Duplex, bytes: number): Promise<void> {
  stream.write('down');
  let received = 0;
  for await (const chunk of stream) received += (chunk as Buffer).length;
  if (received !== bytes) throw new Error(`${received} of ${bytes} bytes came`);
}

async function up(stream: Duplex, bytes: number): Promise<void> {
  const drained = async (): Promise<void> => {
    const { promise, resolve } = Promise.withResolvers<void>();
    stream.once('drain', resolve);
    await promise;
  };
  for (let sent = 0; sent < bytes; sent += CHUNK.length) {
    if (!stream.write(CHUNK)) await drained();
  }
  stream.end();
  let answer = '';
  for await (const chunk of stream) answer += (chunk as Buffer).toString('latin1');
  if (answer !== 'done') throw new Error(`the target said "${answer}"`);
}

async function measure(options: GuestOptions): Promise<GuestTimes> {
  const { controlSocketPath, bulkSocketPath, relayPath, authority, bytes, rounds } = options;
  const carrier = { kind: 'unix', controlSocketPath, bulkSocketPath } as const;
  const { control, bulk } = await openGreetedSessions(carrier);
  const byGuard = async (): Promise<Duplex> => await openTunnel(async () => await bulk, authority);
  const byRelay = async (): Promise<Duplex> => {
    const socket = connect({ path: relayPath, allowHalfOpen: true });
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    socket.once('connect', resolve).once('error', reject);
    await promise;
    return socket;
  };
  const times: GuestTimes = {
    ...{ guardDown: [], guardUp: [], guardOpen: [] },
    ...{ relayDown: [], relayUp: [], relayOpen: [] },
  };
  const ways = [
    ['guard', byGuard],
    ['relay', byRelay],
  ] as const;
  for (let round = -WARM_UP; round < OPENS; round += 1) {
    for (const [way, open] of ways) {
      const startMs = performance.now();
      const stream = await open();
      if (round >= 0) times[`${way}Open`].push(performance.now() - startMs);
      stream.resume().end('up');
      await once(stream, 'close');
    }
  }
  for (let round = -1; round < rounds; round += 1) {
    for (const [way, open] of ways) {
      for (const [direction, move] of [
        ['Down', down],
        ['Up', up],
      ] as const) {
        const stream = await open();
        const startMs = performance.now();
        await move(stream, bytes);
        if (round >= 0) times[`${way}${direction}`].push(performance.now() - startMs);
      }
    }
  }
  control.destroy();
  (await bulk).destroy();
  return times;
}

// oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread has no origin
parentPort?.postMessage(await measure(workerData as GuestOptions));
