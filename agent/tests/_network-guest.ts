/**
 * What stands in a guest's place in tests of networks: run as a program in a namespace that has the
 * guest's interface, it takes lines of JSON, each a list of probes, and answers each with a line of
 * outcomes, in order.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { Resolver } from 'node:dns/promises';
import { connect } from 'node:net';
import { createInterface } from 'node:readline';
import { MACHINE } from '@onejob/protocol';

export type Probe =
  | { kind: 'tcp'; host: string; port: number; from?: string }
  /** Nothing is awaited: whether it came is known at the other end. */
  | { kind: 'udp'; host: string; port: number; from?: string }
  | { kind: 'name'; name: string };

/** Refusals come at once; what is dropped is given up. */
const PATIENCE_MS = 1_500;

/** `reached ADDRESS`, an error's code, `silence`; of names the addresses. */
async function probe(one: Probe): Promise<string> {
  if (one.kind === 'name') return await lookUp(one.name);
  if (one.kind === 'udp') return await send(one);
  const { promise, resolve } = Promise.withResolvers<string>();
  const socket = connect({ host: one.host, port: one.port, localAddress: one.from });
  const timer = setTimeout(() => resolve('silence'), PATIENCE_MS);
  let said = '';
  socket.setEncoding('latin1').on('data', (chunk: string) => (said += chunk));
  socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? 'error'));
  socket.once('close', () => resolve(said.trim()));
  return await promise.finally(() => {
    clearTimeout(timer);
    socket.destroy();
  });
}

async function lookUp(name: string): Promise<string> {
  const resolver = new Resolver({ tries: 1, timeout: PATIENCE_MS });
  resolver.setServers([MACHINE.network.gateway]);
  const answers = await Promise.allSettled([resolver.resolve4(name), resolver.resolve6(name)]);
  return answers
    .map((answer) =>
      answer.status === 'fulfilled'
        ? answer.value.join(',')
        : String((answer.reason as NodeJS.ErrnoException).code),
    )
    .join(' ');
}

async function send({ host, port, from }: Probe & { kind: 'udp' }): Promise<string> {
  const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
  socket.on('error', () => {});
  if (from !== undefined) await once(socket.bind(0, from), 'listening');
  const { promise, resolve } = Promise.withResolvers<string>();
  socket.send('probe', port, host, (error) => resolve(error === null ? 'sent' : error.message));
  return await promise.finally(() => socket.close());
}

if (import.meta.main) {
  process.stdout.write('ready\n');
  for await (const line of createInterface({ input: process.stdin })) {
    const outcomes = await Promise.all((JSON.parse(line) as Probe[]).map(probe));
    process.stdout.write(`${JSON.stringify(outcomes)}\n`);
  }
}
