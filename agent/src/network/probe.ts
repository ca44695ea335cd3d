/**
 * Whether this host can give sandboxes networks of their own: tried, not guessed. A network is made as
 * for a job and taken away again, with each kind of card: a host without taps has networks for containers.
 * What it cannot have is said with what to do, and a version of IP that leads nowhere is not given.
 */
import { accessSync, constants, readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { explainError } from '@onejob/protocol';
import IpAddr from 'ipaddr.js';
import { AgentError } from '../errors.ts';
import { NETWORK_PACKAGES } from '../host/network-tool.ts';
import { findTool } from '../host/short-tool.ts';
import type { Undo } from '../sandbox/stack.ts';
import type { MissingCards, NetworksOptions } from './networks.ts';
import { ANY_VETH, parseAddressRange } from './plan.ts';
import { tryNetworks } from './trial.ts';
import { leadsOut } from './way-out.ts';

/** As iptables matches names. */
const ALL_VETHS = ANY_VETH.replace('*', '+');
const TUN = '/dev/net/tun';

export type NetworkProbe = {
  /** For machines whose card is not missing. */
  works: boolean;
  hasIpv6: boolean;
  missingCards: MissingCards;
  /** For people: what it gives, or why not and what to do. */
  note: string;
  /** What of it an operator may not expect: something of this host's own keeps it from giving more. */
  warnings: readonly string[];
};

type ProbeOptions = {
  hostMarker: string;
  /** Holds what is tried while it is. */
  cacheDirectory: string;
  addressRange: string;
  guard: NetworksOptions['guard'];
  undo: Undo;
};

export async function probeNetworks(options: ProbeOptions): Promise<NetworkProbe> {
  try {
    await assertHost(options.addressRange);
    const obstacle6 = ipv6Obstacle();
    const pool = parseAddressRange(options.addressRange);
    const trial = { ...options, pool, hasIpv6: obstacle6 === undefined };
    const isDropped6 = await tryPair(trial);
    const whyNot6 = isDropped6 ? dropped(6) : obstacle6;
    const whyNoTap = await tryTap(trial);
    const without6 = whyNot6 === undefined ? [] : [`no IPv6: ${whyNot6}`];
    const withoutTap =
      whyNoTap === undefined
        ? []
        : [`only for containers (docker), since machines of others take a tap: ${whyNoTap}`];
    const versions = whyNot6 === undefined ? 'IPv4 and IPv6' : 'IPv4';
    return {
      works: true,
      hasIpv6: whyNot6 === undefined,
      missingCards: whyNoTap === undefined ? {} : { tap: whyNoTap },
      note: [versions, ...without6, ...withoutTap].join('; '),
      warnings: [...(isDropped6 ? without6 : []), ...withoutTap],
    };
  } catch (error) {
    const note = explainError(error);
    return { works: false, hasIpv6: false, missingCards: {}, note, warnings: [] };
  }
}

type Trial = Parameters<typeof tryNetworks>[1];

/**
 * Whether IPv6 is dropped on its way out; false where it is not given at all.
 * @throws AgentError `network_unavailable`: all is dropped
 */
async function tryPair(trial: Trial): Promise<boolean> {
  let isDropped6 = false;
  await tryNetworks(['pair'], trial, async (network, signal) => {
    if (!(await leadsOut(network, 4, signal))) throw unavailable(dropped(4));
    isDropped6 = trial.hasIpv6 && !(await leadsOut(network, 6, signal));
  });
  return isDropped6;
}

/** Why none can be made; undefined: it can. What else a network takes is there. */
async function tryTap(trial: Trial): Promise<string | undefined> {
  try {
    accessSync(TUN, constants.R_OK | constants.W_OK);
  } catch {
    return `there is no ${TUN}; load the module: modprobe tun`;
  }
  return await tryNetworks(['tap'], trial).then(() => undefined, explainError);
}

async function assertHost(addressRange: string): Promise<void> {
  if (process.getuid?.() !== 0) {
    throw unavailable('it takes root to make network namespaces; run onejob as root, or use link');
  }
  const packages = { ...NETWORK_PACKAGES, perl: 'perl-base' };
  const names = Object.keys(packages) as (keyof typeof packages)[];
  const paths = await Promise.all(names.map(findTool));
  const missing = names.filter((_, index) => paths[index] === undefined);
  if (missing.length > 0) {
    const install = `apt-get install ${missing.map((name) => packages[name]).join(' ')}`;
    throw unavailable(`not installed: ${missing.join(', ')}. Install with: ${install}`);
  }
  if (setting('net/ipv4/ip_forward') !== '1') {
    throw unavailable(
      'this host does not forward packets, and onejob does not change that by itself. Allow it: sysctl -w net.ipv4.ip_forward=1',
    );
  }
  const overlapping = overlappingAddress(addressRange);
  if (overlapping === undefined) return;
  throw unavailable(
    `${addressRange}, which sandboxes get their addresses from, has the host's own address ${overlapping}; give them another: networkAddressRange in the file that ONEJOB_HOST_SETTINGS names (docs/operations.md)`,
  );
}

/** What drops it, and what to type. */
function dropped(version: 4 | 6): string {
  const [insert, also] =
    version === 4 ? ['iptables -I FORWARD', ''] : ['ip6tables -I FORWARD', ' by IPv6'];
  return `packet rules of this host's own drop what sandboxes send${also} (a container engine sets up such rules, and so do firewalls). Let it through: ${insert} -i ${ALL_VETHS} -j ACCEPT && ${insert} -o ${ALL_VETHS} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; with nftables, see docs/operations.md`;
}

const unavailable = (why: string): AgentError =>
  new AgentError('network_unavailable', `Network mode nat does not work here: ${why}.`);

/** An address of a network of the host's own in the range; veths of sandboxes have single addresses. */
function overlappingAddress(addressRange: string): string | undefined {
  parseAddressRange(addressRange);
  const range = IpAddr.parseCIDR(addressRange);
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const overlapping = all.find(
    ({ family, address, netmask }) =>
      family === 'IPv4' &&
      netmask !== '255.255.255.255' &&
      IpAddr.IPv4.parse(address).match(range as [IpAddr.IPv4, number]),
  );
  return overlapping?.address;
}

/** Why sandboxes get no IPv6 here; undefined: they do. */
function ipv6Obstacle(): string | undefined {
  if (setting('net/ipv6/conf/all/forwarding') !== '1') {
    return 'this host does not forward it (net.ipv6.conf.all.forwarding)';
  }
  const routes = readFileSync('/proc/net/ipv6_route', 'utf8').split('\n');
  // An address of a link alone is nobody's to answer to.
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  const hasAddress = own.some(
    ({ family, address, internal }) =>
      family === 'IPv6' && !internal && IpAddr.IPv6.parse(address).range() !== 'linkLocal',
  );
  if (!hasAddress) return 'this host has no address of it but those of its links';
  const hasDefault = routes.some((line) => {
    const words = line.split(/\s+/);
    return /^0+$/.test(words[0] ?? '1') && words[1] === '00' && words[9] !== 'lo';
  });
  return hasDefault ? undefined : 'this host has no way out for it';
}

function setting(name: string): string {
  try {
    return readFileSync(join('/proc/sys', name), 'utf8').trim();
  } catch {
    return '';
  }
}
