/**
 * Whether this host can give sandboxes networks of their own: tried, not guessed. A network is made as
 * for a job and taken away again; what is missing is said with what to do.
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
import type { NetworksOptions, SandboxNetwork } from './networks.ts';
import { ANY_VETH, parseAddressRange } from './plan.ts';
import { tryNetworks } from './trial.ts';
import { leadsOut } from './way-out.ts';

/** As iptables matches names. */
const ALL_VETHS = ANY_VETH.replace('*', '+');

export type NetworkProbe = {
  works: boolean;
  hasIpv6: boolean;
  /** For people: what it gives, or why not and what to do. */
  note: string;
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
    const ipv6 = ipv6Obstacle();
    const pool = parseAddressRange(options.addressRange);
    await tryNetworks(1, { ...options, pool, hasIpv6: ipv6 === undefined }, assertLeadsOut);
    const versions = ipv6 === undefined ? 'IPv4 and IPv6' : `IPv4; no IPv6: ${ipv6}`;
    return { works: true, hasIpv6: ipv6 === undefined, note: versions };
  } catch (error) {
    return { works: false, hasIpv6: false, note: explainError(error) };
  }
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
  try {
    accessSync('/dev/net/tun', constants.R_OK | constants.W_OK);
  } catch {
    throw unavailable('there is no /dev/net/tun; load the module: modprobe tun');
  }
  if (setting('net/ipv4/ip_forward') !== '1') {
    throw unavailable(
      'this host does not forward packets, and onejob does not change that by itself. Allow it: sysctl -w net.ipv4.ip_forward=1',
    );
  }
  const overlapping = overlappingAddress(addressRange);
  if (overlapping === undefined) return;
  throw unavailable(
    `${addressRange}, which sandboxes get their addresses from, has the host's own address ${overlapping}; configure another networkAddressRange`,
  );
}

async function assertLeadsOut(network: SandboxNetwork, signal: AbortSignal): Promise<void> {
  if (await leadsOut(network, signal)) return;
  throw unavailable(
    `packet rules of this host's own drop what sandboxes send (a container engine sets up such rules, and so do firewalls). Let it through: iptables -I FORWARD -i ${ALL_VETHS} -j ACCEPT && iptables -I FORWARD -o ${ALL_VETHS} -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT; with nftables, see docs/operations.md`,
  );
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
