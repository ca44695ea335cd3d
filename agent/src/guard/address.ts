/**
 * What an IP address is: the one place that knows the special ranges of the internet.
 *
 * Promise: only `public` and `carrier-grade-nat` are ever reachable by themselves, and `public` is
 * said of nothing but IPv4 unicast and 2000::/3, less every range that the IANA special-purpose
 * registries (RFC 6890 and its successors) list. A range that ipaddr.js learns to name later is
 * `reserved` here until somebody decides otherwise. Addresses that carry an IPv4 address within
 * are never reachable, whatever they carry: the carried address is named and has its own plain form.
 */
import ipaddr from 'ipaddr.js';
import { metadataServiceAt } from './metadata.ts';

export type AddressKind =
  | 'public'
  | 'carrier-grade-nat'
  | 'private'
  | 'loopback'
  | 'link-local'
  | 'unique-local'
  | 'multicast'
  | 'broadcast'
  | 'documentation'
  | 'benchmarking'
  | 'unspecified'
  | 'reserved'
  | 'metadata'
  | 'embedded';

export type ClassifiedAddress = {
  kind: AddressKind;
  /** Canonical text; IPv6 as in RFC 5952. */
  address: string;
  /** What it is, for people: "a private address (RFC 1918)". */
  description: string;
};

type Range = readonly [ipaddr.IPv4 | ipaddr.IPv6, number];

/** RFC 5737, RFC 3849, RFC 9637. */
const DOCUMENTATION: readonly Range[] = [
  '192.0.2.0/24',
  '198.51.100.0/24',
  '203.0.113.0/24',
  '2001:db8::/32',
  '3fff::/20',
].map((text) => ipaddr.parseCIDR(text));
/** RFC 2544, RFC 5180. */
const BENCHMARKING: readonly Range[] = ['198.18.0.0/15', '2001:2::/48'].map((text) =>
  ipaddr.parseCIDR(text),
);
/** The only part of IPv6 that global unicast addresses were given out from (RFC 4291, 2.4). */
const GLOBAL_UNICAST: readonly Range[] = [ipaddr.parseCIDR('2000::/3')];
/** All of IPv6 but that part. */
const NOT_GLOBAL_UNICAST: readonly Range[] = ['::/3', '4000::/2', '8000::/1'].map((text) =>
  ipaddr.parseCIDR(text),
);
/** The experimental 6bone's, given back (RFC 3701). */
const RETURNED: readonly Range[] = [ipaddr.parseCIDR('3ffe::/16')];

/** Ranges that ipaddr.js names, by name. What has a name there is open in no case but one. */
const namedRanges = (version: typeof ipaddr.IPv4 | typeof ipaddr.IPv6): [string, Range][] => {
  const { SpecialRanges } = version.prototype as unknown as {
    SpecialRanges: Readonly<Record<string, Range | readonly Range[]>>;
  };
  return Object.entries(SpecialRanges).flatMap(([name, ranges]) => {
    const isOne = typeof ranges[1] === 'number';
    const list = (isOne ? [ranges] : ranges) as readonly Range[];
    return list.map((range): [string, Range] => [name, range]);
  });
};

/** Names of ipaddr.js for ranges. Not `unicast`, and not what stands in no table: that is reserved. */
const KIND_OF_RANGE: ReadonlyMap<string, readonly [AddressKind, string]> = new Map([
  ['unspecified', ['unspecified', 'an address of "this network" (RFC 1122)']],
  ['broadcast', ['broadcast', 'the broadcast address']],
  ['multicast', ['multicast', 'a multicast address']],
  ['linkLocal', ['link-local', 'a link-local address']],
  ['loopback', ['loopback', 'a loopback address']],
  ['carrierGradeNat', ['carrier-grade-nat', 'a carrier-grade NAT address (RFC 6598)']],
  ['private', ['private', 'a private address (RFC 1918)']],
  ['uniqueLocal', ['unique-local', 'a unique-local address (RFC 4193)']],
  ['deprecatedSiteLocal', ['private', 'a site-local address (RFC 3879)']],
]);

/**
 * Every range in which no address is `public` or `carrier-grade-nat`, as text: for what can compare
 * addresses with ranges and nothing else. It lacks single addresses (metadata services) and the
 * ISATAP form, which is a pattern within all prefixes.
 */
export const REFUSED_RANGES: readonly string[] = [
  ...new Set(
    [
      ...namedRanges(ipaddr.IPv4),
      ...namedRanges(ipaddr.IPv6),
      ...[...DOCUMENTATION, ...BENCHMARKING, ...RETURNED, ...NOT_GLOBAL_UNICAST].map(
        (range): [string, Range] => ['', range],
      ),
    ]
      .filter(([name]) => name !== 'carrierGradeNat')
      .map(([, [base, prefix]]) => `${canonicalText(base)}/${prefix}`),
  ),
];
export const CARRIER_GRADE_NAT = '100.64.0.0/10';

const RESERVED = ['reserved', 'a reserved or special-purpose address'] as const;

export function isWithin(address: ipaddr.IPv4 | ipaddr.IPv6, ranges: readonly Range[]): boolean {
  return ranges.some(
    ([base, prefix]) => base.kind() === address.kind() && address.match(base, prefix),
  );
}

/** @param text an IPv4 or IPv6 address; throws a TypeError for anything else, a zone included. */
export function classifyAddress(text: string): ClassifiedAddress {
  const address = readAddress(text);
  const canonical = canonicalText(address);
  const service = metadataServiceAt(canonical);
  if (service !== undefined) {
    return { kind: 'metadata', address: canonical, description: service };
  }
  const carried = address.kind() === 'ipv6' ? carriedAddress(address as ipaddr.IPv6) : undefined;
  if (carried !== undefined) {
    const inner = classifyAddress(carried.address);
    const description = `${carried.form} of ${inner.address}, ${inner.description}`;
    return { kind: 'embedded', address: canonical, description };
  }
  const [kind, description] = kindOf(address);
  return { kind, address: canonical, description };
}

/** The address that text stands for: IPv4 in dotted decimal, or IPv6 without a zone. */
export function readAddress(text: string): ipaddr.IPv4 | ipaddr.IPv6 {
  if (ipaddr.IPv4.isValidFourPartDecimal(text)) return ipaddr.IPv4.parse(text);
  if (ipaddr.IPv6.isValid(text) && !text.includes('%')) return ipaddr.IPv6.parse(text);
  throw new TypeError(`${JSON.stringify(text)} is not an IP address`);
}

function canonicalText(address: ipaddr.IPv4 | ipaddr.IPv6): string {
  return address.kind() === 'ipv4'
    ? address.toString()
    : (address as ipaddr.IPv6).toRFC5952String();
}

function kindOf(address: ipaddr.IPv4 | ipaddr.IPv6): readonly [AddressKind, string] {
  if (isWithin(address, DOCUMENTATION)) return ['documentation', 'an address for documentation'];
  if (isWithin(address, BENCHMARKING)) return ['benchmarking', 'an address for benchmarks'];
  const range: string = address.range();
  if (range !== 'unicast') return KIND_OF_RANGE.get(range) ?? RESERVED;
  if (address.kind() === 'ipv4') return ['public', 'a public address'];
  const isPublic = isWithin(address, GLOBAL_UNICAST) && !isWithin(address, RETURNED);
  return isPublic ? ['public', 'a public address'] : RESERVED;
}

/** IPv4 addresses that some router, translator or tunnel would take out of an IPv6 address. */
function carriedAddress(address: ipaddr.IPv6): { form: string; address: string } | undefined {
  const parts = address.parts;
  const at = (index: number, flip = 0): string => {
    const high = parts[index]! ^ flip;
    const low = parts[index + 1]! ^ flip;
    return [high >> 8, high & 0xff, low >> 8, low & 0xff].join('.');
  };
  const range: string = address.range();
  if (range === 'ipv4Mapped') return { form: 'the IPv4-mapped form', address: at(6) };
  if (range === 'rfc6145') return { form: 'the IPv4-translated form', address: at(6) };
  // 64:ff9b::/96 and, for translators of one's own (RFC 8215), 64:ff9b:1::/48.
  if (range === 'rfc6052') return { form: 'a NAT64 form', address: at(6) };
  if (range === '6to4') return { form: 'a 6to4 form', address: at(1) };
  if (range === 'teredo') return { form: 'a Teredo form', address: at(6, 0xffff) };
  const isCompatible = parts.slice(0, 6).every((part) => part === 0) && parts[6] !== 0;
  if (isCompatible) return { form: 'the IPv4-compatible form', address: at(6) };
  const isIsatap = (parts[4] === 0 || parts[4] === 0x0200) && parts[5] === 0x5efe;
  if (isIsatap) return { form: 'an ISATAP form', address: at(6) };
  return undefined;
}
