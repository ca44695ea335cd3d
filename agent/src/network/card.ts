/**
 * The interface of a sandbox that has no machine of its own: one of a pair, moved to where its processes
 * are and set up there as init does it in a machine (image/src/guest/network-card.c). To change it there
 * takes CAP_NET_ADMIN, which such a sandbox does not have.
 */
import { openNetworkNamespace, type SandboxProcesses } from '../host/network-namespace.ts';
import type { MachineNetwork } from '../sandbox/driver.ts';
import { runInside } from './inside.ts';
import { CARD } from './plan.ts';
import { cardScript } from './rules.ts';

/** @throws AgentError `network_failed` */
export async function moveCard(
  network: MachineNetwork,
  sandbox: SandboxProcesses,
  signal: AbortSignal,
): Promise<void> {
  await using namespace = await openNetworkNamespace(sandbox);
  // By its descriptor here: whatever becomes of the processes, no other namespace is meant.
  const target = `/proc/${process.pid}/fd/${namespace.fd}`;
  const script = cardScript({ target, hasIpv6: network.hasIpv6 });
  await runInside(network.namespacePath, `the card ${CARD}`, script, signal);
}
