/**
 * Listeners that answer with a value only the host knows, and keep what came: `GET /<id>` is an
 * arrival, answered with where it arrived; `HOLD /<id>` stays open and is counted.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';

const TCP_PORTS = [25, 53, 80, 443, 2375, 8080];
/** The second one is open to machines with an interface of their own: QUIC's. */
const UDP_PORTS = [53, 443];
/** A probe asks in one short line; who says more is no probe. */
const QUESTION_CHARACTERS = 200;
/** Who does not ask is not waited for. */
const PATIENCE_MS = 20_000;

export type Arrival = { id: string; address: string; from: string };

export type Listeners = {
  /** What came since it was last asked. */
  take(): Arrival[];
  /** Most connections held open at the same time, since it was last asked. */
  takePeak(): number;
};

const plain = (address = ''): string => address.replaceAll(/^::ffff:(?=[0-9.]+$)|%.*$/g, '');

/** They keep no process alive. `udp`: datagrams, too. */
export async function listenEverywhere(secret: string, udp: boolean): Promise<Listeners> {
  const arrivals: Arrival[] = [];
  let held = 0;
  let peak = 0;
  const hold = (socket: Socket): void => {
    held += 1;
    peak = Math.max(peak, held);
    socket.once('close', () => (held -= 1));
  };
  const serve = (socket: Socket): void => {
    let asked = '';
    socket.on('error', () => {});
    socket.setTimeout(PATIENCE_MS, () => socket.destroy());
    socket.on('data', (chunk: Buffer) => {
      asked = (asked + chunk.toString('latin1')).slice(0, QUESTION_CHARACTERS);
      const [, verb, id = ''] = /^(GET|HOLD) \/([\w-]+)\n/.exec(asked) ?? [];
      if (verb === undefined) return;
      asked = '';
      if (verb === 'HOLD') return hold(socket);
      const address = plain(socket.localAddress);
      arrivals.push({ id, address, from: plain(socket.remoteAddress) });
      socket.end(`reached ${address} ${secret}\n`);
    });
  };
  for (const port of TCP_PORTS) {
    const server: Server = createServer(serve);
    server.listen(port, '::');
    await once(server, 'listening');
    server.unref();
  }
  for (const port of udp ? UDP_PORTS : []) {
    const socket = createSocket({ type: 'udp6' });
    socket.on('message', (message, peer) => {
      const [, id = ''] = /^GET \/?([\w-]+)/.exec(message.toString('latin1')) ?? [];
      arrivals.push({ id, address: '', from: plain(peer.address) });
    });
    socket.bind(port, '::');
    await once(socket, 'listening');
    socket.unref();
  }
  return {
    take: () => arrivals.splice(0),
    takePeak: () => {
      const highest = peak;
      peak = held;
      return highest;
    },
  };
}
