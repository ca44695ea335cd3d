/**
 * Listeners that answer each connection with the address it came to: what a probe reached. Datagrams
 * are counted as connections.
 *
 * Run as a program it is the far side of a network of the tests: told `count`, it says how many
 * connections came; it ends with its input.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';

const PORTS = [22, 25, 53, 80, 443, 853, 2375, 6443, 8080];

const DNS_PORT = 53;

type Listeners = { accepted(): number };

/**
 * On all addresses of both versions; they keep no process alive.
 * @param beside what takes datagrams to port 53 itself: the resolver of a test
 */
export async function listenEverywhere(beside: 'resolver' | 'nobody'): Promise<Listeners> {
  let accepted = 0;
  for (const port of PORTS) {
    const server = createServer((socket) => {
      accepted += 1;
      socket.on('error', () => {});
      socket.end(`reached ${socket.localAddress?.replace(/^::ffff:(?=[0-9.]+$)|%.*$/g, '')}\n`);
      socket.resume();
    });
    server.listen(port, '::');
    await once(server, 'listening');
    server.unref();
    if (port === DNS_PORT && beside === 'resolver') continue;
    const datagrams = createSocket('udp6', () => (accepted += 1)).bind(port, '::');
    await once(datagrams, 'listening');
    datagrams.unref();
  }
  return { accepted: () => accepted };
}

if (import.meta.main) {
  const listeners = await listenEverywhere('nobody');
  process.stdout.write('ready\n');
  // A connection that the kernel has made already is counted before the answer.
  const count = (): boolean => process.stdout.write(`${listeners.accepted()}\n`);
  for await (const _line of createInterface({ input: process.stdin })) setTimeout(count, 100);
}
