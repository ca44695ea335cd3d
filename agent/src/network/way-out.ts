/**
 * Whether what a sandbox sends leaves this host, in either version of IP: other packet rules of the host
 * may drop it, and nothing of them says so. Tried with the first packet of a connection, from the
 * namespace of an open network; it is counted where it would leave, and goes no further.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import IpAddr from 'ipaddr.js';
import { AgentError } from '../errors.ts';
import { changePacketRules, runNetworkTool } from '../host/network-tool.ts';
import { assertDone, runInside } from './inside.ts';
import type { SandboxNetwork } from './networks.ts';
import { UPLINK } from './plan.ts';

type IpVersion = 4 | 6;

/** A host that everybody knows, as jobs' targets are: a.root-servers.net. Nothing is sent to it. */
const TARGETS = { 4: '198.41.0.4', 6: '2001:503:ba3e::2:30' } as const;
const PORT = 443;
/** Before the host gives it an address of its own. */
const PRIORITY = 'srcnat - 1';
/** It is there at once, or on a busy host a moment later. */
const PATIENCE_MS = 500;
const POLL_MS = 10;

/** netinet/in.h: address family, port and address, each as the kernel reads them. */
const SOCKET_ADDRESSES = {
  4: `2, pack("S n C4 x8", 2, ${PORT}, ${IpAddr.parse(TARGETS[4]).toByteArray().join(', ')})`,
  6: `10, pack("S n N C16 N", 10, ${PORT}, 0, ${IpAddr.parse(TARGETS[6]).toByteArray().join(', ')}, 0)`,
} as const;

/** socket(2), connect(2) with SOCK_NONBLOCK: the kernel sends the packet, and nobody waits. */
const send = (version: IpVersion): string => `
my ($family, $address) = (${SOCKET_ADDRESSES[version]});
socket(my $socket, $family, 1 | 2048, 0) or die "no socket: $!\\n";
connect($socket, $address);
`;

/** True also where the host itself has no way there: that is not its packet rules' doing. */
export async function leadsOut(
  network: SandboxNetwork,
  version: IpVersion,
  signal: AbortSignal,
): Promise<boolean> {
  const { veth, table, machine } = network;
  const { address, gateway, word } = endsOf(network, version);
  const target = TARGETS[version];
  const way = [`-${version}`, 'route', 'get', target, 'from', address, 'iif', veth];
  if ((await runNetworkTool('ip', way, { signal })).exitCode !== 0) return true;
  const chain = `leaving${version}`;
  const match = `${word} saddr ${address} ${word} daddr ${target} tcp dport ${PORT}`;
  const rules = `
add chain inet ${table} ${chain} { type filter hook postrouting priority ${PRIORITY}; policy accept; }
add rule inet ${table} ${chain} ${match} counter drop
`;
  assertDone('a rule that counts', await changePacketRules(rules));
  const script = `
ip -${version} route add ${target} via ${gateway} dev ${UPLINK} onlink
exec perl -e '${send(version)}'
`;
  await runInside(machine.namespacePath, 'a first packet', script, signal);
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const counted = await countPackets(table, chain, signal);
    if (counted > 0 || performance.now() > deadline) return counted > 0;
    await sleep(POLL_MS);
  }
}

/** The addresses of the sandbox and of the host, and what packet rules call this version. */
function endsOf(
  { address, address6, gateway, gateway6 }: SandboxNetwork,
  version: IpVersion,
): { address: string; gateway: string; word: 'ip' | 'ip6' } {
  if (version === 4) return { address, gateway, word: 'ip' };
  if (address6 !== undefined) return { address: address6, gateway: gateway6, word: 'ip6' };
  throw new AgentError('network_failed', 'A network without IPv6 was to be tried with it.');
}

async function countPackets(table: string, chain: string, signal: AbortSignal): Promise<number> {
  const listed = await runNetworkTool('nft', ['list', 'chain', 'inet', table, chain], { signal });
  assertDone('what a rule counted', listed);
  const [, packets] = /counter packets (\d+)/.exec(listed.standardOutput) ?? [];
  if (packets === undefined) throw new AgentError('network_failed', 'nft tells of no counter.');
  return Number(packets);
}
