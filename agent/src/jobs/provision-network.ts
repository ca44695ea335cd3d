/** A job's own network, where this host gives its machines one; what cannot have it is refused. */
import type { ProbedDriver } from '../drivers/choose.ts';
import { AgentError } from '../errors.ts';
import type {
  MissingCards,
  NetworkRequest,
  SandboxNetwork,
  SandboxNetworks,
} from '../network/networks.ts';
import type { ProvisionStack } from '../sandbox/stack.ts';

export async function provisionNetwork(
  networks: SandboxNetworks | undefined,
  { driver, probe }: ProbedDriver,
  request: Omit<NetworkRequest, 'card'>,
  stack: ProvisionStack,
): Promise<SandboxNetwork | undefined> {
  if (networks === undefined) return undefined;
  const { card } = probe;
  if (card === undefined) {
    throw new AgentError(
      'driver_unavailable',
      `This host gives machines a network of their own (network mode nat), which the driver ${driver.name} cannot have. Use --driver qemu, or --network link.`,
    );
  }
  const whyNot = networks.whyNot(card);
  if (whyNot === undefined) return await networks.provision({ ...request, card }, stack);
  throw new AgentError(
    'driver_unavailable',
    `This host gives machines of the driver ${driver.name} no network of their own (network mode nat): ${whyNot}. Till then: --driver docker, or --network link.`,
  );
}

/**
 * An agent starts where machines of one of its drivers can have a network.
 * @throws AgentError `network_unavailable`: they cannot
 */
export function assertSomeCard(drivers: readonly ProbedDriver[], missing: MissingCards): void {
  const fit = drivers.flatMap(({ driver: { name }, probe: { works, card } }) =>
    works && card !== undefined ? [{ name, whyNot: missing[card] }] : [],
  );
  const [first] = fit;
  if (first?.whyNot === undefined || fit.some(({ whyNot }) => whyNot === undefined)) return;
  const names = fit.map(({ name }) => name).join(' and ');
  throw new AgentError(
    'network_unavailable',
    `Network mode nat does not work here with the driver ${names}: ${first.whyNot}.`,
  );
}
