/**
 * A world for sandboxes' networks, run as a program in network and mount namespaces of its own
 * (`unshare --net --mount`), which end with it:
 *
 *     guests (namespaces)               this namespace, "the host"         "everything else"
 *     eth0 == down0 of a sandbox   ==   veths, listeners everywhere   ==   listeners on all addresses
 *
 * The networks are the agent's own. A guest's interface is joined to its sandbox's by a relay, or is the
 * other one of a pair (_guest-place.ts). Writes its findings as one line of JSON.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposableSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { MACHINE, newSandboxId } from '@onejob/protocol';
import { startDnsServer } from '../src/guard/_dns-server.ts';
import type { EgressRecord } from '../src/guard/egress-record.ts';
import { createGuard } from '../src/guard/guard.ts';
import { AUDIT, NOTHING, readJobPolicy, type JobPolicy } from '../src/guard/job-policy.ts';
import { SandboxNetworks, type NetworkRequest } from '../src/network/networks.ts';
import { networkNames, parseAddressRange, vethAlias } from '../src/network/plan.ts';
import { listSandboxProcesses } from '../src/host/processes.ts';
import { Journal } from '../src/sandbox/journal.ts';
import { reap } from '../src/sandbox/reaper.ts';
import { ProvisionStack } from '../src/sandbox/stack.ts';
import { undoOn } from '../src/sandbox/undo.ts';
import { FailingStack } from './_sandbox-lab.ts';
import { HOST_MARKER, run, startGuest, type Guest } from './_guest-place.ts';
import { readLines, SETUP } from './_hostile-network.ts';
import {
  addFlow,
  countFlows,
  PUBLIC,
  PUBLIC_NAME,
  tryAll,
  type TrialFindings,
} from './_network-trials.ts';

const NAMES: Readonly<Record<string, readonly string[]>> = {
  [PUBLIC_NAME]: [PUBLIC.ipv4, PUBLIC.ipv6],
  'inside.example.org': ['10.20.0.7'],
  'mixed.example.org': [PUBLIC.ipv4, '169.254.169.254'],
};
/** Of the three guests. */
const CARDS = ['tap', 'pair', 'tap'] as const;
/** Of their tenants: two guests are of one, the third of another. A network knows them by their policies alone. */
const OPEN_TENANT = readJobPolicy(['audit']);
const LISTED_TENANT = readJobPolicy([`${PUBLIC_NAME} ${PUBLIC.ipv4}/32`]);
const SETTLING_PATIENCE_MS = 5_000;
const SETTLING_POLL_MS = 50;
/** A pattern, and no range: the one thing that only packet rules keep out. */
export const ISATAP = '2600:1::5efe:a9fe:a9fe';
/** What no sandbox may reach, whatever it is called. Beside them: the host, and other sandboxes. */
const CLOSED = [
  ...['169.254.169.254', 'fd00:ec2::254', '168.63.129.16', '100.100.100.200'],
  ...['10.20.0.7', '172.20.0.7', '192.168.20.7', 'fd12:3456::7', '203.0.113.2'],
  ...['64:ff9b::a9fe:a9fe', '2002:a9fe:a9fe::1', ISATAP, '23.5.0.7'],
];
/** Of the far side, and of the guest's own networks. */
const FOREIGN = ['93.184.215.77', '172.31.0.77', '2606:4700::77', 'fd6f:6e65:6a6f::77'];
const HOST = ['93.184.215.99', '2606:4700:9::9', '203.0.113.1', '2001:db8:ffff::1'];

export type Phase = {
  /** By guest and target. */
  outcomes: Record<string, Record<string, string>>;
  /** Connections and datagrams that arrived at the far side or the host. */
  arrived: number;
};
type Spoofed = { sent: number; datagrams: number; outcomes: string[]; connections: number };
export type Findings = TrialFindings & {
  /** Made, and not opened. */
  unopened: Phase;
  /** Opened for jobs that have an allow-list or may reach nothing. */
  narrow: Phase;
  /** Opened for jobs of two tenants, each by its tenant's policy: one lets its jobs out, one has an allow-list. */
  tenants: Phase;
  /** Both tenants let their jobs out. */
  walls: Phase;
  names: Record<string, string>;
  spoofed: Spoofed;
  /** The routes lead everywhere. */
  withoutRoutes: Phase;
  /** Every rule of packets is gone but the two that give addresses. */
  withoutRules: Phase;
  /** And the routes as well: then each probe reaches its target. */
  withoutWalls: Phase;
  spoofedWithoutWalls: Spoofed;
  /** What an acquisition that failed left, and one whose agent died. */
  failures: string[];
  reaped: { removed: string[]; left: string[]; flows: number };
  records: Pick<EgressRecord, 'host' | 'address' | 'port' | 'verdict' | 'rule' | 'bytesDown'>[];
  inventory: { before: string; after: string };
};

/** Everything of the network that a run could leave behind. */
function inventory(): string {
  const settings = ['net/ipv4/ip_forward', 'net/ipv6/conf/all/forwarding'];
  return [
    run('ip', '-brief', 'link'),
    run('ip', '-brief', 'address'),
    ...['route', 'rule'].flatMap((what) => [run('ip', what), run('ip', '-6', what)]),
    run('ip', 'netns', 'list'),
    run('nft', 'list', 'ruleset'),
    ...settings.map((name) => run('cat', `/proc/sys/${name}`)),
  ].join('\n');
}

class World {
  readonly guests: readonly Guest[];
  readonly #arrivals: () => Promise<number>;

  constructor(guests: readonly Guest[], arrivals: () => Promise<number>) {
    this.guests = guests;
    this.#arrivals = arrivals;
  }

  /** Every guest to every target, by TCP and by a datagram. */
  async probeAll(): Promise<Phase> {
    const before = await this.#arrivals();
    const outcomes: Phase['outcomes'] = {};
    for (const [index, guest] of this.guests.entries()) {
      const targets = this.#targetsOf(guest);
      const found = await guest.ask(
        Object.values(targets).map((host) => ({ kind: 'tcp', host, port: 80 })),
      );
      await guest.ask(Object.values(targets).map((host) => ({ kind: 'udp', host, port: 80 })));
      const names = Object.keys(targets);
      outcomes[`guest ${index + 1}`] = Object.fromEntries(
        names.map((name, at) => [name, found[at] ?? '']),
      );
    }
    return { outcomes, arrived: (await this.#arrivals()) - before };
  }

  /**
   * From addresses of each version, and then from a card, that were given to another; guests with each kind
   * of card. Once by datagrams, which need no answer to arrive, and once by TCP.
   */
  async spoof(): Promise<Spoofed> {
    const before = await this.#arrivals();
    const guests = this.guests.slice(0, 2);
    let sent = 0;
    for (const guest of guests) sent += (await spoofFrom(guest, 'udp')).length;
    const datagrams = (await this.#arrivals()) - before;
    const outcomes: string[] = [];
    for (const guest of guests) outcomes.push(...(await spoofFrom(guest, 'tcp')));
    const connections = (await this.#arrivals()) - before - datagrams;
    return { sent, datagrams, outcomes, connections };
  }

  #targetsOf(guest: Guest): Record<string, string> {
    const others = this.guests.filter((other) => other !== guest);
    const named = others.flatMap(({ network }, at) => [
      [`other ${at + 1}`, network.address],
      [`other ${at + 1} by IPv6`, network.address6],
    ]);
    const same = [...CLOSED, ...HOST, ...Object.values(PUBLIC)].map((one) => [one, one]);
    return Object.fromEntries([
      ...same,
      ...named,
      ['gateway', MACHINE.network.gateway],
      ['gateway6', MACHINE.network.gateway6],
      ['own address', guest.network.address],
      ['own address by IPv6', guest.network.address6],
    ]) as Record<string, string>;
  }
}

/** What a guest sends in the name of others. */
async function spoofFrom(guest: Guest, kind: 'tcp' | 'udp'): Promise<string[]> {
  const ip = (...words: string[]): string => run('ip', '-n', guest.namespace, ...words);
  for (const address of FOREIGN) {
    const single = address.includes(':') ? `${address}/128` : `${address}/32`;
    ip('address', 'replace', single, 'dev', 'lo');
  }
  const to = (host: string): string => (host.includes(':') ? PUBLIC.ipv6 : PUBLIC.ipv4);
  const outcomes = await guest.ask(
    FOREIGN.map((from) => ({ kind, host: to(from), port: 80, from })),
  );
  ip('link', 'set', 'eth0', 'address', '02:00:00:00:00:66');
  const both = Object.values(PUBLIC).map((host) => ({ kind, host, port: 80 }));
  outcomes.push(...(await guest.ask(both)));
  ip('link', 'set', 'eth0', 'address', MACHINE.network.mac);
  return outcomes;
}

/** Of IPv4 the kernel itself drops what is not from where its routes lead. */
function believeSources({ sandboxId }: Guest): void {
  const filter = '/proc/sys/net/ipv4/conf/down0/rp_filter';
  run('ip', 'netns', 'exec', networkNames(sandboxId).namespace, 'sh', '-c', `echo 0 > ${filter}`);
}

/** The kernel takes routes of an interface away a moment after it. */
async function inventoryLike(before: string): Promise<string> {
  const deadline = performance.now() + SETTLING_PATIENCE_MS;
  while (performance.now() < deadline && inventory() !== before) await sleep(SETTLING_POLL_MS);
  return inventory();
}

/** Leaves of all rules what gives packets addresses: without that nothing is answered anyway. */
function dropRules({ sandboxId }: Guest): void {
  const { namespace } = networkNames(sandboxId);
  const nat = (rule: string): string =>
    `flush ruleset\ntable inet bare { chain out { type nat hook postrouting priority srcnat; ${rule}; }; }`;
  execFileSync('ip', ['netns', 'exec', namespace, 'nft', '-f', '-'], {
    input: nat('oifname "up0" masquerade'),
  });
  execFileSync('nft', ['-f', '-'], { input: nat('oifname "near0" masquerade') });
}

/** Packets of the guest go where those of its namespace's owner would go. */
function dropRoutes({ sandboxId }: Guest): void {
  const { namespace } = networkNames(sandboxId);
  for (const version of ['-4', '-6']) {
    const rules = run('ip', version, '-n', namespace, 'route', 'show', 'table', '100');
    const way = rules.split('\n').find((line) => line.includes(' via ')) ?? '';
    const [, via = '', outside = ''] = / (via) (\S+)/.exec(way) ?? [];
    const to = version === '-4' ? 'default' : '::/0';
    run('ip', version, '-n', namespace, 'route', 'add', to, via, outside, 'dev', 'up0', 'onlink');
    for (const priority of ['20', '30']) {
      run('ip', version, '-n', namespace, 'rule', 'del', 'priority', priority);
    }
  }
}

async function openOne(
  networks: SandboxNetworks,
  request: NetworkRequest,
  stack: ProvisionStack,
): Promise<void> {
  const network = await networks.provision(request, stack);
  try {
    await network.open(request.signal);
  } finally {
    await network.close();
  }
}

/** Each acquisition of a network fails in turn, before or after its thing is there. */
async function failEach(
  networks: SandboxNetworks,
  root: string,
  before: string,
): Promise<string[]> {
  const failures: string[] = [];
  for (let failing = 1; failing <= 4; failing += 1) {
    for (const moment of ['before', 'after'] as const) {
      const sandboxId = newSandboxId();
      const journal = new Journal(join(root, 'journal'), sandboxId);
      const stack = new FailingStack(journal, undoOn(HOST_MARKER), failing, moment);
      const { signal } = new AbortController();
      const egress = { sandboxId, policy: () => AUDIT };
      const request = { egress, card: 'tap', directory: root, signal } as const;
      const failed = await openOne(networks, request, stack).then(
        () => 'nothing failed',
        () => '',
      );
      await stack.bury();
      await stack.bury();
      const left = (await inventoryLike(before)) === before ? '' : 'something is left';
      const alive = await listSandboxProcesses(HOST_MARKER);
      const what = [failed, left, ...alive.map(({ pid }) => `process ${pid}`)].filter(Boolean);
      if (what.length > 0) failures.push(`${failing} ${moment}: ${what.join(', ')}`);
    }
  }
  return failures;
}

/** A network whose agent died, its journal lost; beside it what only looks like one. */
async function reapOne(networks: SandboxNetworks, root: string): Promise<Findings['reaped']> {
  const sandboxId = newSandboxId();
  const stack = new ProvisionStack(new Journal(join(root, 'lost'), sandboxId), undoOn(HOST_MARKER));
  const { signal } = new AbortController();
  const egress = { sandboxId, policy: () => AUDIT };
  const network = await networks.provision({ egress, card: 'tap', directory: root, signal }, stack);
  await network.open(signal);
  addFlow(network.address, PUBLIC.ipv4);
  addFlow(network.address6 ?? '', PUBLIC.ipv6);
  const other = newSandboxId();
  const { namespace, veth, table } = networkNames(other);
  run('ip', 'netns', 'add', namespace);
  run('ip', 'link', 'add', veth, 'type', 'veth', 'peer', 'name', 'peer0', 'netns', namespace);
  run('ip', 'link', 'set', veth, 'alias', vethAlias('another-agent', other));
  run('nft', 'add', 'table', 'inet', table);
  const { removed, failed } = await reap({
    hostMarker: HOST_MARKER,
    sandboxesDirectory: join(root, 'none'),
    journalsDirectory: join(root, 'no-journals'),
    undo: undoOn(HOST_MARKER),
    alive: new Set(),
  });
  await network.close();
  const all = inventory();
  const left = [sandboxId, other].flatMap((id) =>
    Object.values(networkNames(id)).filter((name) => all.includes(name)),
  );
  run('nft', 'delete', 'table', 'inet', table);
  run('ip', 'link', 'delete', veth);
  run('ip', 'netns', 'delete', namespace);
  const show = (text: string): string =>
    text
      .replace(networkNames(sandboxId).veth, 'veth')
      .replaceAll(sandboxId, 'DEAD')
      .replaceAll(other, 'OTHER')
      .replace(veth, 'veth of OTHER');
  const flows = countFlows(network.address, network.address6 ?? '');
  return { removed: [...removed, ...failed].map(show), left: left.map(show), flows };
}

/** The routes of the namespace as they were. */
function restoreRoutes({ sandboxId }: Guest): void {
  const { namespace } = networkNames(sandboxId);
  for (const [version, to] of [
    ['-4', 'default'],
    ['-6', '::/0'],
  ] as const) {
    const ip = ['ip', version, '-n', namespace] as const;
    run(...ip, 'route', 'del', to, 'dev', 'up0');
    run(...ip, 'rule', 'add', 'iif', 'down0', 'lookup', '100', 'priority', '20');
    run(...ip, 'rule', 'add', 'iif', 'down0', 'unreachable', 'priority', '30');
  }
}

/** As an adoption opens them, each for its job's policy; those without one stay as they are. */
async function openAll(world: World, policies: readonly (JobPolicy | null)[]): Promise<Phase> {
  for (const [index, policy] of policies.entries()) {
    const guest = world.guests[index];
    if (guest === undefined || policy === null) continue;
    guest.policy = policy;
    await guest.network.open(new AbortController().signal);
  }
  return await world.probeAll();
}

/** The walls go one after the other. */
async function tearDown(
  world: World,
): Promise<
  Pick<Findings, 'withoutRoutes' | 'withoutRules' | 'withoutWalls' | 'spoofedWithoutWalls'>
> {
  for (const guest of world.guests) dropRoutes(guest);
  const withoutRoutes = await world.probeAll();
  for (const guest of world.guests) restoreRoutes(guest);
  for (const guest of world.guests) dropRules(guest);
  const withoutRules = await world.probeAll();
  for (const guest of world.guests) dropRoutes(guest);
  const withoutWalls = await world.probeAll();
  for (const guest of world.guests) believeSources(guest);
  const spoofedWithoutWalls = await world.spoof();
  return { withoutRoutes, withoutRules, withoutWalls, spoofedWithoutWalls };
}

async function explore(root: string, arrivals: () => Promise<number>): Promise<Findings> {
  const records: EgressRecord[] = [];
  const guard = createGuard({
    refusedRanges: ['23.5.0.0/16'],
    records: (record) => void records.push(record),
  });
  const pool = parseAddressRange('10.213.0.0/16');
  const options = { hostMarker: HOST_MARKER, pool, hasIpv6: true };
  const networks = new SandboxNetworks({ ...options, guard });
  const before = inventory();
  const guests: Guest[] = [];
  for (const card of CARDS) guests.push(await startGuest(networks, root, card));
  const world = new World(guests, async () => {
    const inside = await Promise.all(guests.map(async (guest) => await guest.arrivals()));
    return (await arrivals()) + inside.reduce((sum, count) => sum + count, 0);
  });
  const unopened = await world.probeAll();
  const narrow = await openAll(world, [LISTED_TENANT, NOTHING, NOTHING]);
  const tenants = await openAll(world, [OPEN_TENANT, OPEN_TENANT, LISTED_TENANT]);
  const walls = await openAll(world, [null, null, AUDIT]);
  const asked = [
    ...Object.keys(NAMES),
    'gone.example.org',
    'localhost',
    'metadata.google.internal',
  ];
  const said = await guests[0]!.ask(asked.map((name) => ({ kind: 'name', name })));
  const names = Object.fromEntries(asked.map((name, at) => [name, said[at] ?? '']));
  await guests[0]!.ask([{ kind: 'tcp', host: PUBLIC.ipv4, port: 443 }]);
  const spoofed = await world.spoof();
  await guests[0]!.network.close();
  const torn = await tearDown(world);
  for (const guest of guests) {
    await guest.end();
    await guest.network.close();
    await guest.stack.bury();
    await guest.stack.bury();
  }
  run('nft', 'flush', 'ruleset');
  const trials = await tryAll({ options, root, arrivals }, guard);
  const failures = await failEach(networks, root, before);
  const reaped = await reapOne(networks, root);
  const after = await inventoryLike(before);
  return {
    ...{
      unopened,
      narrow,
      tenants,
      walls,
      names,
      spoofed,
      ...torn,
      ...trials,
      failures,
      reaped,
    },
    records: records.map(({ host, address, port, verdict, rule, bytesDown }) => ({
      ...{ host, port, verdict, rule, bytesDown },
      ...(address === undefined ? {} : { address }),
    })),
    inventory: { before, after },
  };
}

async function main(): Promise<Findings> {
  using configuration = mkdtempDisposableSync(join(tmpdir(), 'network-world-'));
  const write = (name: string, content: string): void =>
    writeFileSync(join(configuration.path, name), content);
  write('resolv.conf', 'nameserver 127.0.0.53\n');
  write('hosts', '127.0.0.1 localhost\n');
  write('nsswitch.conf', 'hosts: files dns\n');
  const listener = join(import.meta.dirname, '_marker-listener.ts');
  const far = spawn('unshare', ['--net', process.execPath, listener], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const nextLine = readLines(far);
  await nextLine();
  run('mount', '-t', 'tmpfs', 'tmpfs', '/run');
  const environment = { ...process.env, FAR: String(far.pid), CONFIGURATION: configuration.path };
  execFileSync('sh', ['-e', '-c', SETUP], { env: environment, stdio: ['ignore', 2, 2] });
  for (const name of ['net/ipv4/ip_forward', 'net/ipv6/conf/all/forwarding']) {
    writeFileSync(`/proc/sys/${name}`, '1');
  }
  const { listenEverywhere } = await import('./_marker-listener.ts');
  const near = await listenEverywhere('resolver');
  const arrivals = async (): Promise<number> => {
    far.stdin.write('count\n');
    return Number(await nextLine()) + near.accepted();
  };
  await using _dns = await startDnsServer(
    (name) => {
      const addresses = NAMES[name];
      return addresses === undefined ? 'no-such-name' : { addresses };
    },
    { address: '127.0.0.53', port: 53 },
  );
  const findings = await explore(configuration.path, arrivals);
  far.stdin.end();
  await once(far, 'exit');
  return findings;
}

if (import.meta.main) process.stdout.write(`${JSON.stringify(await main())}\n`);
