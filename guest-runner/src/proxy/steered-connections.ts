/**
 * Connections of a container that are led to one port of ours: the program beside this one
 * (image/src/guest/steer.c) accepts them and hands each over, since Node cannot ask where one was to go.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { ACCEPT_AGAIN_MS, PROXY_CONNECTIONS } from '../limits.ts';
import { STEERING } from '../link/names.ts';

export type Destination = { address: string; port: number };
type Taken = (client: Socket, to: Destination) => void;

/** In the directory of the runner. */
const PROGRAM = 'steer';
/** Of its complaint. */
const SAID_CHARACTERS = 1000;

/** Accepts for the life of this process, also after the program was killed. Rejects when nothing can be accepted. */
export async function acceptSteered(take: Taken): Promise<void> {
  const program = join(dirname(process.argv[1] ?? ''), PROGRAM);
  let open = 0;
  const onMessage = (to: unknown, client: unknown): void => {
    if (!(client instanceof Socket)) return;
    if (!isDestination(to) || open >= PROXY_CONNECTIONS) return void client.resetAndDestroy();
    open += 1;
    client.once('close', () => (open -= 1));
    // As those of a listener are: what ends one way goes on the other way.
    client.allowHalfOpen = true;
    take(client, to);
  };
  const ended = await start(program, onMessage);
  void acceptAgain(ended, async () => await start(program, onMessage));
}

type Started = { ended: Promise<string> };

async function start(
  program: string,
  onMessage: (to: unknown, client: unknown) => void,
): Promise<Started> {
  const child = spawn(program, ['accept', String(STEERING.port)], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: {},
  });
  let said = '';
  child.stderr?.on('data', (chunk: Buffer) => {
    if (said.length < SAID_CHARACTERS) said += chunk.toString();
  });
  const ended = once(child, 'close').then(
    ([code, signal]) => `${program} ended with ${String(code ?? signal)}: ${said.trim()}`,
    (error: unknown) => String(error),
  );
  const why = await Promise.race([once(child, 'message').then(() => undefined), ended]);
  if (why !== undefined) throw new Error(why);
  child.on('message', onMessage).on('error', () => {});
  child.unref();
  child.channel?.unref();
  if (child.stderr instanceof Socket) child.stderr.unref();
  return { ended };
}

/** Never ends, and never rejects. */
async function acceptAgain({ ended }: Started, again: () => Promise<Started>): Promise<void> {
  await ended;
  for (;;) {
    await delay(ACCEPT_AGAIN_MS, undefined, { ref: false });
    const next = await again().catch(() => undefined);
    await next?.ended;
  }
}

function isDestination(value: unknown): value is Destination {
  if (typeof value !== 'object' || value === null) return false;
  const { address, port } = value as Partial<Destination>;
  return typeof address === 'string' && typeof port === 'number';
}
