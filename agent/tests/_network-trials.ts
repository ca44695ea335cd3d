/**
 * What is tried in the world of _network-world.ts with a guest of its own each, from its making to its
 * burial: limits, what the host remembers, what is recorded, a firewall of the host.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MACHINE } from '@onejob/protocol';
import { portlessDatagram } from '@onejob/testing';
import * as dns from 'dns-packet';
import { createGuard } from '../src/guard/guard.ts';
import type { EgressRecord } from '../src/guard/egress-record.ts';
import type { GuardLimits } from '../src/guard/limits.ts';
import { listSandboxProcesses, SANDBOX_VARIABLE } from '../src/host/processes.ts';
import { SandboxNetworks, type NetworksOptions } from '../src/network/networks.ts';
import { networkNames, type Rate } from '../src/network/plan.ts';
import { NAMESPACE_TABLE } from '../src/network/plan.ts';
import { probeNetworks, type NetworkProbe } from '../src/network/probe.ts';
import { undoOn } from '../src/sandbox/undo.ts';
import { HOST_MARKER, run, startGuest, type Guest } from './_guest-place.ts';

export const PUBLIC_NAME = 'public.example.org';
export const PUBLIC = { ipv4: '93.184.215.14', ipv6: '2606:4700::1111' };

type TrialRoom = {
  options: Omit<NetworksOptions, 'guard'>;
  root: string;
  arrivals: () => Promise<number>;
};

export type TrialFindings = {
  /** What arrived of six datagrams where three are a limit, and the rules of the records. */
  limited: Record<string, { arrived: number; rules: string[] }>;
  /** Entries of a sandbox in the host's connection tracking, of which it may have six. */
  hostFlows: { arrived: number; counted: number; ofOthers: number; buried: number };
  /** Records of so many flows that are open at the end, those of them that lack something, and notes. */
  manyOpen: { records: number; incomplete: number; notes: readonly string[] };
  /** What a guest reaches before and after the end of what records it, and what its job is told. */
  unrecorded: Unrecorded;
  /** The same when it cannot keep up. */
  overtaken: Unrecorded;
  /** What a guest reaches by addresses that rules of the host send elsewhere, and without the sandbox's own. */
  published: Record<'within' | 'without', string[]>;
  /** What a guest reaches at ports where public hosts are asked for names, and without the rule of ports. */
  nameServers: Record<
    'within' | 'without',
    { told: string[]; connections: number; datagrams: number }
  > & {
    rules: string[];
  };
  /** What a guest's own programs are told after a question that came from no port. */
  portless: string[];
  /** What is found out of this host, and what a sandbox reaches then. */
  firewall: Record<'without' | 'within' | 'excepted', { probe: NetworkProbe; reached: string }>;
  /** The same where it drops IPv6 alone. */
  firewall6: TrialFindings['firewall'];
};

type Unrecorded = { before: string[]; after: string[]; arrived: number; notes: readonly string[] };

const MANY_FLOWS = 2000;
/** Their events are more than what follows flows has room for. */
const OVERTAKING_FLOWS = 40_000;
/** It takes three short tools. */
const SHUT_PATIENCE_MS = 10_000;
const SHUT_POLL_MS = 20;
/** Beside the sandboxes, on the same host. */
const STRANGER = '10.213.255.255';
const FLOW = ['-p', 'udp', '--sport', '1024', '--dport', '80', '-t', '600'];
/** Of DNS, and of DNS over TLS or QUIC. */
const NAME_PORTS = [53, 853];
const LIMITED_PORTS = [22, 80, 443, 2375, 6443, 8080];
/** Of the probe, with its headers. */
const DATAGRAM_BYTES = 33;
const THREE: { limits?: Partial<GuardLimits>; rate?: Rate }[] = [
  { limits: { connectionsPerSandbox: 3 } },
  { limits: { newConnectionsPerSecond: 3 } },
  { limits: { newConnectionsPerMinute: 3 } },
  { limits: { bytesPerSandbox: 3 * DATAGRAM_BYTES } },
  { rate: { bytesPerSecond: 1, burstBytes: 3 * DATAGRAM_BYTES } },
];

/** A guest of its own for each limit. */
async function tryLimits({
  options,
  root,
  arrivals,
}: TrialRoom): Promise<TrialFindings['limited']> {
  const found: TrialFindings['limited'] = {};
  for (const { limits, rate } of THREE) {
    const records: EgressRecord[] = [];
    const guard = createGuard({
      ...(limits === undefined ? {} : { limits }),
      records: (record) => void records.push(record),
    });
    const own = { ...options, guard, ...(rate === undefined ? {} : { rate }) };
    const guest = await startGuest(new SandboxNetworks(own), root, 'tap');
    await guest.network.open(new AbortController().signal);
    const before = await arrivals();
    await guest.ask(LIMITED_PORTS.map((port) => ({ kind: 'udp', host: PUBLIC.ipv4, port })));
    await guest.network.close();
    const arrived = (await arrivals()) - before;
    await guest.end();
    await guest.stack.bury();
    found[Object.keys(limits ?? rate ?? {}).join()] = {
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
async function tryHostFlows({
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

/** So many of the guest's, as its namespace knows them. */
function openFlows({ sandboxId }: Guest, root: string, count: number): void {
  const from = MACHINE.network.address;
  const flows = Array.from(
    { length: count },
    (_, at) => `-I -s ${from} -d ${PUBLIC.ipv4} -p udp --sport ${1024 + at} --dport 80 -t 600`,
  );
  const file = join(root, 'flows');
  writeFileSync(file, `${flows.join('\n')}\n`);
  run('ip', 'netns', 'exec', networkNames(sandboxId).namespace, 'conntrack', '-R', file);
}

/** More flows at the end than any tool's output has by default; their listing has half a MiB. */
async function tryManyOpen({ options, root }: TrialRoom): Promise<TrialFindings['manyOpen']> {
  const records: EgressRecord[] = [];
  const guard = createGuard({ records: (record) => void records.push(record) });
  const guest = await startGuest(new SandboxNetworks({ ...options, guard }), root, 'tap');
  await guest.network.open(new AbortController().signal);
  openFlows(guest, root, MANY_FLOWS);
  const notes = await guest.network.close();
  await guest.end();
  await guest.stack.bury();
  const incomplete = records.filter(({ reason }) => reason !== undefined).length;
  return { records: records.length, incomplete, notes };
}

/** What records a guest's flows comes to harm. */
async function tryUnrecorded(
  { options, root, arrivals }: TrialRoom,
  guard: NetworksOptions['guard'],
  harm: (recorder: number, guest: Guest, root: string) => void,
): Promise<Unrecorded> {
  const guest = await startGuest(new SandboxNetworks({ ...options, guard }), root, 'tap');
  await guest.network.open(new AbortController().signal);
  const probes = Object.values(PUBLIC).map((host) => ({ kind: 'tcp', host, port: 80 }) as const);
  const before = await guest.ask(probes);
  const all = await listSandboxProcesses(HOST_MARKER);
  const recorder = all.find(
    ({ pid, environment }) =>
      environment.get(SANDBOX_VARIABLE) === guest.sandboxId &&
      readFileSync(`/proc/${pid}/cmdline`, 'utf8').startsWith('conntrack\0'),
  );
  harm(recorder!.pid, guest, root);
  const { namespace } = networkNames(guest.sandboxId);
  const isOpen = (): boolean =>
    run('ip', '-6', '-n', namespace, 'route', 'show', 'table', '100').includes(' via ');
  const deadline = performance.now() + SHUT_PATIENCE_MS;
  while (isOpen() && performance.now() < deadline) await sleep(SHUT_POLL_MS);
  const arrived = await arrivals();
  const after = await guest.ask(probes);
  await guest.ask(Object.values(PUBLIC).map((host) => ({ kind: 'udp', host, port: 80 })));
  const notes = await guest.network.close();
  const arrivedAfter = (await arrivals()) - arrived;
  await guest.end();
  await guest.stack.bury();
  return { before, after, arrived: arrivedAfter, notes };
}

/** As by the kernel where memory is short. */
const kill = (recorder: number): boolean => process.kill(recorder, 'SIGKILL');

/** As when its agent reads nothing for long. */
function overtake(recorder: number, guest: Guest, root: string): void {
  process.kill(recorder, 'SIGSTOP');
  openFlows(guest, root, OVERTAKING_FLOWS);
  process.kill(recorder, 'SIGCONT');
}

/** As a container engine publishes ports: of addresses that nobody would close. */
async function tryPublished(
  { options, root }: TrialRoom,
  guard: NetworksOptions['guard'],
): Promise<TrialFindings['published']> {
  const guest = await startGuest(new SandboxNetworks({ ...options, guard }), root, 'tap');
  await guest.network.open(new AbortController().signal);
  const rules = Object.entries({
    ip: [PUBLIC.ipv4, '10.20.0.7'],
    ip6: [PUBLIC.ipv6, 'fd12:3456::7'],
  }).map(([family, [from, to]]) => `${family} daddr ${from} dnat ${family} to ${to}`);
  const chain = `type nat hook prerouting priority dstnat; ${rules.join('; ')};`;
  run('nft', `add table inet published { chain published { ${chain} }; }`);
  const probes = Object.values(PUBLIC).map((host) => ({ kind: 'tcp', host, port: 80 }) as const);
  const within = await guest.ask(probes);
  run('nft', 'flush', 'chain', 'inet', guest.network.table, 'through');
  const without = await guest.ask(probes);
  run('nft', 'delete', 'table', 'inet', 'published');
  await guest.end();
  await guest.network.close();
  await guest.stack.bury();
  return { within, without };
}

/** A guest asks public hosts for names, past the sandbox's resolver. */
async function tryNameServers({
  options,
  root,
  arrivals,
}: TrialRoom): Promise<TrialFindings['nameServers']> {
  const records: EgressRecord[] = [];
  const guard = createGuard({ records: (record) => void records.push(record) });
  const guest = await startGuest(new SandboxNetworks({ ...options, guard }), root, 'tap');
  await guest.network.open(new AbortController().signal);
  const places = Object.values(PUBLIC).flatMap((host) =>
    NAME_PORTS.map((port) => ({ host, port })),
  );
  const attempt = async (): Promise<TrialFindings['nameServers']['within']> => {
    const before = await arrivals();
    const told = await guest.ask(places.map((place) => ({ kind: 'tcp', ...place })));
    const between = await arrivals();
    await guest.ask(places.map((place) => ({ kind: 'udp', ...place })));
    return { told, connections: between - before, datagrams: (await arrivals()) - between };
  };
  const within = await attempt();
  const { namespace } = networkNames(guest.sandboxId);
  const inside = ['ip', 'netns', 'exec', namespace, 'nft'] as const;
  run(...inside, 'flush', 'set', 'inet', NAMESPACE_TABLE, 'closed_ports');
  const without = await attempt();
  await guest.network.close();
  await guest.end();
  await guest.stack.bury();
  return { within, without, rules: records.map(({ rule }) => rule).toSorted() };
}

/** A raw socket asks the sandbox's resolver, and then an ordinary one does. */
async function tryPortless(
  { options, root }: TrialRoom,
  guard: NetworksOptions['guard'],
): Promise<TrialFindings['portless']> {
  const guest = await startGuest(new SandboxNetworks({ ...options, guard }), root, 'pair');
  const question = dns.encode({
    ...{ type: 'query', id: 7 },
    questions: [{ type: 'A', name: PUBLIC_NAME }],
  });
  const asking = portlessDatagram({ address: MACHINE.network.gateway, port: 53 }, question);
  run('ip', 'netns', 'exec', guest.namespace, ...asking);
  const told = await guest.ask([{ kind: 'name', name: PUBLIC_NAME }]);
  await guest.end();
  await guest.network.close();
  await guest.stack.bury();
  return told;
}

/** A firewall as Docker's engine sets it up, and the commands that a host is told to type then. */
async function tryFirewall(
  { options, root }: TrialRoom,
  guard: NetworksOptions['guard'],
  { tool, host, table }: { tool: 'iptables' | 'ip6tables'; host: string; table: 'ip' | 'ip6' },
): Promise<TrialFindings['firewall']> {
  const probe = async (): Promise<NetworkProbe> =>
    await probeNetworks({
      ...{ guard, hostMarker: HOST_MARKER, undo: undoOn(HOST_MARKER) },
      ...{ cacheDirectory: root, addressRange: '10.213.0.0/16' },
    });
  const guest = await startGuest(new SandboxNetworks({ ...options, guard }), root, 'pair');
  await guest.network.open(new AbortController().signal);
  const reach = async (): Promise<string> =>
    (await guest.ask([{ kind: 'tcp', host, port: 80 }])).join();
  const without = { probe: await probe(), reached: await reach() };
  run(tool, '-P', 'FORWARD', 'DROP');
  const within = { probe: await probe(), reached: await reach() };
  const [, commands = 'false'] =
    /Let it through: (.*); with nftables/.exec(within.probe.note) ?? [];
  run('sh', '-c', commands);
  const excepted = { probe: await probe(), reached: await reach() };
  run('nft', 'delete', 'table', table, 'filter');
  await guest.end();
  await guest.network.close();
  await guest.stack.bury();
  return { without, within, excepted };
}

/** One after the other. */
export async function tryAll(
  room: TrialRoom,
  guard: NetworksOptions['guard'],
): Promise<TrialFindings> {
  return {
    limited: await tryLimits(room),
    hostFlows: await tryHostFlows(room),
    manyOpen: await tryManyOpen(room),
    unrecorded: await tryUnrecorded(room, guard, kill),
    overtaken: await tryUnrecorded(room, createGuard({ records: () => {} }), overtake),
    published: await tryPublished(room, guard),
    nameServers: await tryNameServers(room),
    portless: await tryPortless(room, guard),
    firewall: await tryFirewall(room, guard, {
      ...{ tool: 'iptables', host: PUBLIC.ipv4, table: 'ip' },
    }),
    firewall6: await tryFirewall(room, guard, {
      ...{ tool: 'ip6tables', host: PUBLIC.ipv6, table: 'ip6' },
    }),
  };
}
