/**
 * The host's network, made of two namespaces:
 *
 *     the host                                  everything else
 *     listeners on its addresses    near0 == far0   every other address is local to it,
 *     resolver, plain proxy                         listeners on all of them
 *
 * So each address is reached, where nothing refuses it, and answers.
 */
import { createSocket } from 'node:dgram';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { HOST_ADDRESSES, NAMES } from '../attacks/network.ts';
import { startResolver } from './dns-server.ts';
import { listenEverywhere, type Arrival } from './listeners.ts';
import { startPlainProxy } from './plain-proxy.ts';
import { runScript, startLasting, tryScript } from './tools.ts';

/** How often the host says something on its network. */
const TRAFFIC_MS = 150;

const SETUP = `
  ip link add near0 type veth peer name far0 netns $FAR
  ip addr add ${HOST_ADDRESSES.v4}/24 dev near0
  ip addr add ${HOST_ADDRESSES.v6}/64 dev near0 nodad
  ip link set near0 up
  ip neigh add 203.0.113.77 lladdr 02:00:00:77:77:77 dev near0 nud permanent
  nsenter --target $FAR --net sh -e -c '
    ip link set lo up
    ip addr add 203.0.113.2/24 dev far0
    ip addr add 2001:db8:ffff::2/64 dev far0 nodad
    ip link set far0 up
    ip route add local 0.0.0.0/0 dev lo
    ip -6 route add local ::/0 dev lo
    ip route add 203.0.113.0/24 dev far0 table 100
    ip route add 198.51.100.77/32 dev far0 table 100
    ip -6 route add 2001:db8:ffff::/64 dev far0 table 100
    ip rule add to 203.0.113.1 lookup 100 priority 1
    ip rule add to 198.51.100.77 lookup 100 priority 1
    ip -6 rule add to 2001:db8:ffff::1 lookup 100 priority 1
    ip rule del priority 0; ip rule add lookup local priority 2
    ip -6 rule del priority 0; ip -6 rule add lookup local priority 2
  '
  ip route add default via 203.0.113.2 dev near0
  ip -6 route add default via 2001:db8:ffff::2 dev near0
  echo $FORWARDS > /proc/sys/net/ipv4/ip_forward
  echo $FORWARDS > /proc/sys/net/ipv6/conf/all/forwarding
`;

export type HostNetwork = AsyncDisposable & {
  /** Of the proxy that judges nothing. */
  readonly proxy: string;
  /** What came since it was last asked, to the host and beyond it. */
  take(): Promise<{ arrivals: Arrival[]; peak: number }>;
  /** Cards that the host and its neighbours send to, a line each. */
  neighbours(): Promise<string>;
};

/** What listeners answer with, what the host says on its network, and whether it is a way to others. */
export async function openHostNetwork(values: {
  forwards: boolean;
  listener: string;
  traffic: string;
}): Promise<HostNetwork> {
  await using undo = new AsyncDisposableStack();
  const far = undo.use(
    await startLasting('unshare', [
      '--net',
      process.execPath,
      join(import.meta.dirname, 'far-host.ts'),
      values.listener,
    ]),
  );
  const lines = createInterface({ input: far.child.stdout! })[Symbol.asyncIterator]();
  const nextLine = async (): Promise<string> => String((await lines.next()).value);
  if ((await nextLine()) !== 'ready') throw new Error('The far side of the proof did not start.');
  await runScript(SETUP, { FAR: String(far.pid), FORWARDS: values.forwards ? '1' : '0' });
  const near = await listenEverywhere(values.listener, false);
  const resolver = await startResolver(NAMES);
  const proxy = await startPlainProxy();
  undo.use(startTraffic(values.traffic));
  const owned = undo.move();
  return {
    proxy,
    take: async () => {
      far.child.stdin?.write('take\n');
      const beyond = JSON.parse(await nextLine()) as { arrivals: Arrival[]; peak: number };
      const arrivals = [...near.take(), ...beyond.arrivals, ...resolver.take()];
      return { arrivals, peak: beyond.peak };
    },
    neighbours: async () => await tryScript(`ip neigh; nsenter --target ${far.pid} --net ip neigh`),
    [Symbol.asyncDispose]: async () => await owned.disposeAsync(),
  };
}

/** Who listens on the host's network hears the value. */
function startTraffic(value: string): Disposable {
  const socket = createSocket('udp4');
  socket.on('error', () => {});
  const timer = setInterval(() => socket.send(value, 9, '203.0.113.2'), TRAFFIC_MS);
  return {
    [Symbol.dispose]: () => {
      clearInterval(timer);
      socket.close();
    },
  };
}
