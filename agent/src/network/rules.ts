/**
 * The texts that make a sandbox's network, for `ip -batch`, `sh` and `nft -f`. Pure. Promises:
 *
 * - Made, it leads nowhere but to the resolver: there is no route out, and no rule that accepts. Both
 *   come with `openingScript`, for a job that may reach more.
 * - Default deny both ways: what no rule accepts goes nowhere. What is refused is answered, so that
 *   a job fails at once instead of waiting.
 * - Two walls. The rules (nft) say who may send, what is closed, how much at a time. The routes of
 *   the namespace lead to no closed range, not to the host and not to other sandboxes, and hold
 *   when every rule is gone; without the rules nothing gets an address that could be answered, either.
 * - The one service of the host is its resolver, and only packets that the rules marked find a route
 *   to it.
 */
import type { CardKind } from '../sandbox/driver.ts';
import { HOST_FLOWS_PER_CONNECTION, REFUSED_TARGETS, TIME_WAIT_SECONDS } from './limits.ts';
import {
  ANY_VETH,
  CARD,
  DOWNLINK,
  GUEST,
  NAMESPACE_TABLE,
  UPLINK,
  type NetworkPlan,
} from './plan.ts';

/** Routing tables of the namespace: for the guest's packets, and for those to the resolver. */
const GUEST_TABLE = 100;
const RESOLVER_TABLE = 101;
const RESOLVER_MARK = 1;
/** ISATAP (RFC 5214): an IPv4 address behind 0:5efe or 200:5efe, below any prefix. */
const ISATAP = 'ip6 daddr & ::fdff:ffff:0:0 == ::5efe:0:0';
const REFUSED = 'reject with icmpx admin-prohibited';
/** The one part of IPv6 with public addresses (RFC 4291, 2.4); the rest has no route at all. */
const GLOBAL_UNICAST = '2000::/3';
/** Of the host's table; its rules say which addresses the sandbox has. */
export const ADDRESSES_CHAIN = 'outwards';
const NO_IPV6 = 'ipv6/conf/default/disable_ipv6';
const NEIGHBOURS = 'icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255';

type OutsidePlan = Pick<NetworkPlan, 'veth' | 'pair' | 'hasIpv6'>;

/** Namespace and veth, without addresses. */
export const linkCommands = ({
  namespace,
  veth,
  alias,
}: Pick<NetworkPlan, 'namespace' | 'veth' | 'alias'>): string[] => [
  `netns add ${namespace}`,
  `link add ${veth} type veth peer name ${UPLINK} netns ${namespace}`,
  `link set ${veth} alias ${alias}`,
  `link set ${veth} up`,
];

/** Takes the pair of addresses: the route is made once on a host, or is an error. */
export const addressCommands = ({ veth, pair, hasIpv6 }: OutsidePlan): string[] => [
  `route add ${pair.inside}/32 dev ${veth}`,
  `addr add ${pair.outside}/32 dev ${veth}`,
  ...(hasIpv6
    ? [
        `addr add ${pair.outside6}/128 dev ${veth} nodad`,
        `route add ${pair.inside6}/128 dev ${veth}`,
      ]
    : []),
];

/** What is set up within the namespace, as one script of `sh -e`. */
export function insideScript(plan: NetworkPlan): string {
  const commands = insideCommands(plan);
  const commands6 = plan.hasIpv6 ? insideCommands6(plan) : [];
  return [
    // First: some of the settings are there with the modules that the rules load.
    ...asInput('nft -f -', [insideRules(plan)]),
    'cd /proc/sys/net',
    ...settings(plan).map(([name, value]) => `echo ${value} > ${name}`),
    // A kernel without IPv6 has no such file.
    ...(plan.hasIpv6 ? [] : [`[ ! -e ${NO_IPV6} ] || echo 1 > ${NO_IPV6}`]),
    ...asInput('ip -batch -', commands),
    ...asInput('exec ip -6 -batch -', [...commands6, `link set ${DOWNLINK} up`]),
    '',
  ].join('\n');
}

const asInput = (command: string, lines: readonly string[]): string[] => [
  `${command} <<\\END`,
  ...lines,
  'END',
];

const SETTINGS_6: [name: string, value: number][] = [
  ['ipv6/conf/all/forwarding', 1],
  ['ipv6/icmp/ratelimit', 0],
];

/**
 * Only the guest's own address is believed on its downlink, which gets the `default` ones when it is made; no
 * router of others is listened to.
 */
const settings = ({ hasIpv6 }: NetworkPlan): [name: string, value: number][] => [
  ['ipv4/conf/all/rp_filter', 0],
  [`ipv4/conf/${UPLINK}/rp_filter`, 0],
  ['ipv4/conf/default/rp_filter', 1],
  ['ipv4/conf/all/accept_redirects', 0],
  ['ipv4/conf/all/send_redirects', 0],
  ['ipv4/conf/default/send_redirects', 0],
  // Every refusal is answered; by default one in a second is, after a few.
  ['ipv4/icmp_ratelimit', 0],
  ['netfilter/nf_conntrack_acct', 1],
  ['netfilter/nf_conntrack_tcp_timeout_time_wait', TIME_WAIT_SECONDS],
  ['ipv4/ip_forward', 1],
  ...(hasIpv6 ? SETTINGS_6 : []),
];

const makeDownlink: Record<CardKind, string> = {
  tap: `tuntap add dev ${DOWNLINK} mode tap vnet_hdr`,
  pair: `link add ${DOWNLINK} type veth peer name ${CARD} address ${GUEST.mac}`,
};

function insideCommands({ pair, access, card }: NetworkPlan): string[] {
  return [
    'link set lo up',
    `addr add ${pair.inside}/32 dev ${UPLINK}`,
    `link set ${UPLINK} up`,
    makeDownlink[card],
    `link set ${DOWNLINK} address ${GUEST.gatewayMac}`,
    `addr add ${GUEST.gateway}/${GUEST.prefix} dev ${DOWNLINK}`,
    ...access.closed.ipv4.map((range) => `route add unreachable ${range} table ${GUEST_TABLE}`),
    `route add ${pair.outside}/32 dev ${UPLINK} table ${RESOLVER_TABLE}`,
    `rule add iif ${DOWNLINK} fwmark ${RESOLVER_MARK} lookup ${RESOLVER_TABLE} priority 10`,
    `rule add iif ${DOWNLINK} lookup ${GUEST_TABLE} priority 20`,
    `rule add iif ${DOWNLINK} unreachable priority 30`,
  ];
}

function insideCommands6({ pair, access }: NetworkPlan): string[] {
  return [
    `addr add ${pair.inside6}/128 dev ${UPLINK} nodad`,
    `addr add ${GUEST.gateway6}/${GUEST.prefix6} dev ${DOWNLINK} nodad`,
    ...access.closed.ipv6.map((range) => `route add unreachable ${range} table ${GUEST_TABLE}`),
    `rule add iif ${DOWNLINK} lookup ${GUEST_TABLE} priority 20`,
    `rule add iif ${DOWNLINK} unreachable priority 30`,
  ];
}

/**
 * Moves the card to another network namespace and sets it up there, for `sh -e` within the one it is in.
 * @param target a path of that namespace
 */
export function cardScript({ target, hasIpv6 }: { target: string; hasIpv6: boolean }): string {
  const settings6 = [
    ['accept_dad', 0],
    ['accept_ra', 0],
    ['disable_ipv6', hasIpv6 ? 0 : 1],
  ] as const;
  const commands = [
    `addr add ${GUEST.address}/${GUEST.prefix} dev ${CARD}`,
    ...(hasIpv6 ? [`addr add ${GUEST.address6}/${GUEST.prefix6} dev ${CARD} nodad`] : []),
    `link set ${CARD} up`,
    `route add default via ${GUEST.gateway}`,
    ...(hasIpv6 ? [`route add ::/0 via ${GUEST.gateway6} dev ${CARD}`] : []),
  ];
  const directory = `/proc/sys/net/ipv6/conf/${CARD}`;
  return [
    `ip link set ${CARD} netns ${target}`,
    `exec nsenter --net=${target} -- sh -e <<\\CARD`,
    // A kernel without IPv6 has no such files.
    `if [ -e ${directory} ]; then cd ${directory}`,
    ...settings6.map(([name, value]) => `echo ${value} > ${name}`),
    'fi',
    ...asInput('exec ip -batch -', commands),
    'CARD',
    '',
  ].join('\n');
}

/** What opens the way out, for `sh -e` within the namespace. */
export const openingScript = ({ pair, hasIpv6 }: NetworkPlan): string =>
  [
    `ip route add default via ${pair.outside} dev ${UPLINK} onlink table ${GUEST_TABLE}`,
    ...(hasIpv6
      ? [
          `ip -6 route add ${GLOBAL_UNICAST} via ${pair.outside6} dev ${UPLINK} onlink table ${GUEST_TABLE}`,
        ]
      : []),
    `exec nft add rule inet ${NAMESPACE_TABLE} direct accept`,
    '',
  ].join('\n');

/** What shuts it again, for `sh`: all of it is tried. What is open stands still then, too. */
export const shuttingScript = ({ hasIpv6 }: NetworkPlan): string =>
  [
    'status=0',
    `nft flush chain inet ${NAMESPACE_TABLE} direct || status=1`,
    `ip route delete default table ${GUEST_TABLE} || status=1`,
    ...(hasIpv6 ? [`ip -6 route delete ${GLOBAL_UNICAST} table ${GUEST_TABLE} || status=1`] : []),
    'exit $status',
    '',
  ].join('\n');

function insideRules(plan: NetworkPlan): string {
  const { pair, access, rate, resolverPort, hasIpv6 } = plan;
  const { connectionsPerSandbox, newConnectionsPerSecond, newConnectionsPerMinute } = access.limits;
  const often = `${newConnectionsPerSecond}/second burst ${newConnectionsPerSecond} packets`;
  const long = `${newConnectionsPerMinute}/minute burst ${newConnectionsPerMinute} packets`;
  const ports = access.closedPorts.map(({ from, to }) => `${from}-${to}`);
  return `
table inet ${NAMESPACE_TABLE} {
  set closed4 { type ipv4_addr; flags interval; auto-merge; elements = { ${access.closed.ipv4.join(', ')} }; }
  set closed6 { type ipv6_addr; flags interval; auto-merge; elements = { ${access.closed.ipv6.join(', ')} }; }
  set closed_ports { type inet_service; flags interval; auto-merge; elements = { ${ports.join(', ')} }; }
  set refused4 { typeof ip daddr . meta l4proto . th dport; size ${REFUSED_TARGETS}; flags dynamic; counter; }
  set refused6 { typeof ip6 daddr . meta l4proto . th dport; size ${REFUSED_TARGETS}; flags dynamic; counter; }
  chain refuse {
    meta l4proto { tcp, udp } update @refused4 { ip daddr . meta l4proto . th dport }
    meta l4proto { tcp, udp } update @refused6 { ip6 daddr . meta l4proto . th dport }
    ${REFUSED}
  }
  chain from_guest {
    type filter hook prerouting priority mangle; policy accept;
    iifname != "${DOWNLINK}" accept
    ether saddr != ${GUEST.mac} drop
    ip saddr != ${GUEST.address} drop
    ${hasIpv6 ? `ip6 saddr != { ${GUEST.address6}, fe80::/10, :: } drop` : 'meta nfproto ipv6 drop'}
    ${NEIGHBOURS} accept
    ip6 saddr != ${GUEST.address6} drop
    ip daddr ${GUEST.gateway} udp dport 53 limit rate ${often} meta mark set ${RESOLVER_MARK} accept
    ct state established,related accept
    ct state invalid drop
    ip daddr @closed4 jump refuse
    ip6 daddr @closed6 jump refuse
    ${ISATAP} jump refuse
    meta l4proto { tcp, udp } th dport @closed_ports jump refuse
    meta l4proto != { tcp, udp, icmp, icmpv6 } ${REFUSED}
    limit rate over ${often} jump refuse
    limit rate over ${long} jump refuse
    ct count over ${connectionsPerSandbox} jump refuse
    jump direct
    jump refuse
  }
  chain direct {
  }
  chain resolving {
    type nat hook prerouting priority dstnat; policy accept;
    iifname "${DOWNLINK}" ip daddr ${GUEST.gateway} udp dport 53 dnat ip to ${pair.outside}:${resolverPort}
  }
  chain to_namespace {
    type filter hook input priority filter; policy drop;
    ${NEIGHBOURS} accept
    ct state established,related accept
    iifname "${DOWNLINK}" jump refuse
  }
  chain spent {
    iifname "${DOWNLINK}" jump refuse
    drop
  }
  chain through {
    type filter hook forward priority filter; policy drop;
    quota over ${access.limits.bytesPerSandbox} bytes jump spent
    limit rate over ${rate.bytesPerSecond} bytes/second burst ${rate.burstBytes} bytes drop
    iifname "${DOWNLINK}" oifname "${UPLINK}" accept
    iifname "${UPLINK}" oifname "${DOWNLINK}" ct state established,related accept
  }
  chain outwards {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "${UPLINK}" masquerade
  }
}`;
}

/**
 * The host's side, in one transaction: what comes out of the veth has the address that was given to
 * it and reaches the resolver and the uplink, no other sandbox and nothing of the host; what goes in
 * was asked for. What the host's own rules send elsewhere than to the address that was asked for (a published
 * port of a container) is refused: nobody has judged where that is. Flows are counted once more: a guest can end one in its namespace alone, and the host's
 * connection tracking, which all share, would keep it. Of look-ups that keeps nothing. Other tables of
 * the host are not touched, and may refuse more.
 */
export function outsideRules(plan: NetworkPlan): string {
  const { table, veth, pair, resolverPort, hasIpv6, access } = plan;
  const question = `ip saddr ${pair.inside} ip daddr ${pair.outside} udp dport ${resolverPort}`;
  const answer = `ip saddr ${pair.outside} ip daddr ${pair.inside} udp sport ${resolverPort}`;
  const flows = HOST_FLOWS_PER_CONNECTION * access.limits.connectionsPerSandbox;
  const foreign6 = hasIpv6 ? `ip6 saddr != ${pair.inside6} drop` : 'meta nfproto ipv6 drop';
  return `
table inet ${table} {
  chain questions {
    type filter hook prerouting priority raw; policy accept;
    iifname "${veth}" ${question} notrack
  }
  chain answers {
    type filter hook output priority raw; policy accept;
    oifname "${veth}" ${answer} notrack
  }
  chain to_host {
    type filter hook input priority filter - 10; policy accept;
    iifname != "${veth}" ip daddr ${pair.outside} ${REFUSED}
    iifname != "${veth}" accept
    ${NEIGHBOURS} accept
    ${question} accept
    ${REFUSED}
  }
  chain from_host {
    type filter hook output priority filter - 10; policy accept;
    oifname != "${veth}" accept
    ${NEIGHBOURS} accept
    ${answer} accept
    ct state established,related accept
    ${REFUSED}
  }
  chain through {
    type filter hook forward priority filter - 10; policy accept;
    oifname "${veth}" ct state established,related accept
    oifname "${veth}" ${REFUSED}
    iifname != "${veth}" accept
    ip saddr != ${pair.inside} drop
    ${foreign6}
    ct status dnat ${REFUSED}
    oifname "${ANY_VETH}" ${REFUSED}
    ct state new ct count over ${flows} ${REFUSED}
  }
  chain ${ADDRESSES_CHAIN} {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${pair.inside} oifname != "${veth}" masquerade
    ${hasIpv6 ? `ip6 saddr ${pair.inside6} oifname != "${veth}" masquerade` : ''}
  }
}
`;
}
