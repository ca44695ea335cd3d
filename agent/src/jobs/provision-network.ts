/** A job's own network, where this host gives its machines one; what cannot have it is refused. */
import type { ProbedDriver } from '../drivers/choose.ts';
import { AgentError } from '../errors.ts';
import type { NetworkRequest, SandboxNetwork, SandboxNetworks } from '../network/networks.ts';
import type { ProvisionStack } from '../sandbox/stack.ts';

export async function provisionNetwork(
  networks: SandboxNetworks | undefined,
  { driver, probe }: ProbedDriver,
  request: Omit<NetworkRequest, 'card'>,
  stack: ProvisionStack,
): Promise<SandboxNetwork | undefined> {
  if (networks === undefined) return undefined;
  const { card } = probe;
  if (card !== undefined) return await networks.provision({ ...request, card }, stack);
  throw new AgentError(
    'driver_unavailable',
    `This host gives machines a network of their own (network mode nat), which the driver ${driver.name} cannot have. Use --driver qemu, or --network link.`,
  );
}
