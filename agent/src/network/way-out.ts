/**
 * Whether what a sandbox sends leaves this host: other packet rules of the host may drop it, and nothing
 * of them says so. Tried with the first packet of a connection, from the namespace of an open network; it
 * is counted where it would leave, and goes no further.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentError } from '../errors.ts';
import { changePacketRules, runNetworkTool } from '../host/network-tool.ts';
import { assertDone, runInside } from './inside.ts';
import type { SandboxNetwork } from './networks.ts';
import { UPLINK } from './plan.ts';

/** A host that everybody knows, as jobs' targets are: a.root-servers.net. Nothing is sent to it. */
const TARGET = '198.41.0.4';
const PORT = 443;
const CHAIN = 'leaving';
/** Before the host gives it an address of its own. */
const PRIORITY = 'srcnat - 1';
/** It is there at once, or on a busy host a moment later. */
const PATIENCE_MS = 500;
const POLL_MS = 10;

/** socket(2), connect(2) with SOCK_NONBLOCK: the kernel sends the packet, and nobody waits. */
const SEND = `
socket(my $socket, 2, 1 | 2048, 0) or die "no socket: $!\\n";
connect($socket, pack("S n C4 x8", 2, ${PORT}, ${TARGET.replaceAll('.', ', ')}));
`;

/** True also where the host itself has no way there: that is not its packet rules' doing. */
export async function leadsOut(network: SandboxNetwork, signal: AbortSignal): Promise<boolean> {
  const { address, gateway, veth, table, machine } = network;
  const way = ['-4', 'route', 'get', TARGET, 'from', address, 'iif', veth];
  if ((await runNetworkTool('ip', way, { signal })).exitCode !== 0) return true;
  const match = `ip saddr ${address} ip daddr ${TARGET} tcp dport ${PORT}`;
  const rules = `
add chain inet ${table} ${CHAIN} { type filter hook postrouting priority ${PRIORITY}; policy accept; }
add rule inet ${table} ${CHAIN} ${match} counter drop
`;
  assertDone('a rule that counts', await changePacketRules(rules));
  const script = `
ip route add ${TARGET}/32 via ${gateway} dev ${UPLINK} onlink
exec perl -e '${SEND}'
`;
  await runInside(machine.namespacePath, 'a first packet', script, signal);
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const counted = await countPackets(table, signal);
    if (counted > 0 || performance.now() > deadline) return counted > 0;
    await sleep(POLL_MS);
  }
}

async function countPackets(table: string, signal: AbortSignal): Promise<number> {
  const chain = await runNetworkTool('nft', ['list', 'chain', 'inet', table, CHAIN], { signal });
  assertDone('what a rule counted', chain);
  const [, packets] = /counter packets (\d+)/.exec(chain.standardOutput) ?? [];
  if (packets === undefined) throw new AgentError('network_failed', 'nft tells of no counter.');
  return Number(packets);
}
