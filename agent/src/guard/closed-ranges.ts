/**
 * What the guard refuses, as ranges: for walls that the kernel keeps (packet rules, routes). Derived
 * from what judges single addresses, so that there is one list. Promise: whatever is refused for its
 * address is in a range here, but for the ISATAP form, a pattern that packet rules match by itself;
 * an operator's hazardous openings are for the guard's connections only and open nothing here.
 */
import IpAddr from 'ipaddr.js';
import { CARRIER_GRADE_NAT, classifyAddress, REFUSED_RANGES } from './address.ts';
import { METADATA_SERVICE_ADDRESSES } from './metadata.ts';
import type { Policy } from './policy.ts';

export type ClosedRanges = { readonly ipv4: readonly string[]; readonly ipv6: readonly string[] };

/** @param ownAddresses the host's own at this moment, as text */
export function closedRanges(
  policy: Pick<Policy, 'refusedRanges'>,
  ownAddresses: readonly string[],
): ClosedRanges {
  const own = ownAddresses.map((text) => classifyAddress(text.split('%')[0] ?? ''));
  const isHostInCarrierGradeNat = own.some(({ kind }) => kind === 'carrier-grade-nat');
  const all = new Set([
    ...REFUSED_RANGES,
    ...(isHostInCarrierGradeNat ? [CARRIER_GRADE_NAT] : []),
    ...policy.refusedRanges.map(([base, prefix]) => networkText(base.toString(), prefix)),
    ...[...METADATA_SERVICE_ADDRESSES, ...own.map(({ address }) => address)].map(single),
  ]);
  const isIpv6 = (range: string): boolean => range.includes(':');
  const ranges = [...all];
  return { ipv4: ranges.filter((range) => !isIpv6(range)), ipv6: ranges.filter(isIpv6) };
}

const single = (address: string): string => `${address}/${address.includes(':') ? 128 : 32}`;

/** A range as an operator wrote it may have bits set behind its prefix; routes must not. */
function networkText(base: string, prefix: number): string {
  const network = base.includes(':')
    ? IpAddr.IPv6.networkAddressFromCIDR(`${base}/${prefix}`)
    : IpAddr.IPv4.networkAddressFromCIDR(`${base}/${prefix}`);
  return `${classifyAddress(network.toString()).address}/${prefix}`;
}
