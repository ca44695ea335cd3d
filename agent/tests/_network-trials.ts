/**
 * What is tried in the world of _network-world.ts with a guest of its own each, from its making to its
 * burial: limits, what the host remembers, a firewall of the host.
 */
import { createGuard } from '../src/guard/guard.ts';
import type { EgressRecord } from '../src/guard/egress-record.ts';
import type { GuardLimits } from '../src/guard/limits.ts';
import { SandboxNetworks, type NetworksOptions } from '../src/network/networks.ts';
import { networkNames } from '../src/network/plan.ts';
import { probeNetworks, type NetworkProbe } from '../src/network/probe.ts';
import { undoOn } from '../src/sandbox/undo.ts';
import { HOST_MARKER, run, startGuest } from './_guest-place.ts';

export const PUBLIC_NAME = 'public.example.org';
export const PUBLIC = { ipv4: '93.184.215.14', ipv6: '2606:4700::1111' };

export type TrialRoom = {
  options: Omit<NetworksOptions, 'guard'>;
  root: string;
  arrivals: () => Promise<number>;
};

export type TrialFindings = {
  /** What arrived of six datagrams where three are a limit, and the rules of the records. */
  limited: Record<string, { arrived: number; rules: string[] }>;
  /** Entries of a sandbox in the host's connection tracking, of which it may have six. */
  hostFlows: { arrived: number; counted: number; ofOthers: number; buried: number };
  /** What is found out of this host, and what a sandbox reaches then. */
  firewall: Record<'without' | 'within' | 'excepted', { probe: NetworkProbe; reached: string }>;
};

/** Beside the sandboxes, on the same host. */
const STRANGER = '10.213.255.255';
const FLOW = ['-p', 'udp', '--sport', '1024', '--dport', '80', '-t', '600'];
const LIMITED_PORTS = [22, 80, 443, 2375, 6443, 8080];
/** A datagram of the probe has 33 bytes with its headers. */
const THREE: Partial<GuardLimits>[] = [
  { connectionsPerSandbox: 3 },
  { newConnectionsPerMinute: 3 },
  { bytesPerSandbox: 3 * 33 },
];

/** A guest of its own for each limit. */
export async function tryLimits({
  options,
  root,
  arrivals,
}: TrialRoom): Promise<TrialFindings['limited']> {
  const found: TrialFindings['limited'] = {};
  for (const limits of THREE) {
    const records: EgressRecord[] = [];
    const guard = createGuard({ limits, records: (record) => void records.push(record) });
    const guest = await startGuest(new SandboxNetworks({ ...options, guard }), root, 'tap');
    await guest.network.open(new AbortController().signal);
    const before = await arrivals();
    await guest.ask(LIMITED_PORTS.map((port) => ({ kind: 'udp', host: PUBLIC.ipv4, port })));
    await guest.network.close();
    const arrived = (await arrivals()) - before;
    await guest.end();
    await guest.stack.bury();
    found[Object.keys(limits).join()] = {
      arrived,
      rules: records.map(({ rule }) => rule).toSorted(),
    };
  }
  return found;
}

/** How many flows of this namespace begin at one of these addresses, by its connection tracking. */
export const countFlows = (...addresses: string[]): number =>
  addresses.reduce((sum, address) => {
    const version = address.includes(':') ? 'ipv6' : 'ipv4';
    return sum + run('conntrack', '-L', '-f', version, '-s', address).split('\n').length - 1;
  }, 0);

/** A flow as it is left when its sandbox alone has forgotten it. */
export const addFlow = (from: string, to: string): string =>
  run('conntrack', '-I', '-s', from, '-d', to, ...FLOW);

/** A guest whose namespace forgets its flows while the host knows them. */
export async function tryHostFlows({
  options,
  root,
  arrivals,
}: TrialRoom): Promise<TrialFindings['hostFlows']> {
  const guard = createGuard({ limits: { connectionsPerSandbox: 3 }, records: () => {} });
  const guest = await startGuest(new SandboxNetworks({ ...options, guard }), root, 'pair');
  const own = [guest.network.address, guest.network.address6 ?? ''];
  await guest.network.open(new AbortController().signal);
  const before = await arrivals();
  for (const host of [PUBLIC.ipv4, PUBLIC.ipv6, PUBLIC.ipv4, PUBLIC.ipv6]) {
    await guest.ask(LIMITED_PORTS.map((port) => ({ kind: 'udp', host, port })));
    run('ip', 'netns', 'exec', networkNames(guest.sandboxId).namespace, 'conntrack', '-F');
  }
  const arrived = (await arrivals()) - before;
  await guest.ask([{ kind: 'name', name: PUBLIC_NAME }]);
  const counted = countFlows(...own);
  addFlow(STRANGER, PUBLIC.ipv4);
  await guest.end();
  await guest.network.close();
  await guest.stack.bury();
  await guest.stack.bury();
  return { arrived, counted, ofOthers: countFlows(STRANGER), buried: countFlows(...own) };
}

/** A firewall as Docker's engine sets it up, and the commands that a host is told to type then. */
export async function tryFirewall(
  { options, root }: TrialRoom,
  guard: NetworksOptions['guard'],
): Promise<TrialFindings['firewall']> {
  const probe = async (): Promise<NetworkProbe> =>
    await probeNetworks({
      ...{ guard, hostMarker: HOST_MARKER, undo: undoOn(HOST_MARKER) },
      addressRange: '10.213.0.0/16',
    });
  const guest = await startGuest(new SandboxNetworks({ ...options, guard }), root, 'pair');
  await guest.network.open(new AbortController().signal);
  const reach = async (): Promise<string> =>
    (await guest.ask([{ kind: 'tcp', host: PUBLIC.ipv4, port: 80 }])).join();
  const without = { probe: await probe(), reached: await reach() };
  run('iptables', '-P', 'FORWARD', 'DROP');
  const within = { probe: await probe(), reached: await reach() };
  const [, commands = 'false'] =
    /Let it through: (.*); with nftables/.exec(within.probe.note) ?? [];
  run('sh', '-c', commands);
  const excepted = { probe: await probe(), reached: await reach() };
  run('nft', 'delete', 'table', 'ip', 'filter');
  await guest.end();
  await guest.network.close();
  await guest.stack.bury();
  return { without, within, excepted };
}
