/**
 * The classification of addresses against an independent one: the IANA special-purpose registries,
 * written down again as ranges of node:net's BlockList, which shares no code with ipaddr.js.
 */
import assert from 'node:assert/strict';
import { BlockList } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { classifyAddress, type AddressKind } from './address.ts';

/** What the registries say about IPv4, the narrower range first; what is in none is global. */
const CLOSED_4: readonly (readonly [string, number, AddressKind])[] = [
  ['168.63.129.16', 32, 'metadata'],
  ['169.254.169.254', 32, 'metadata'],
  ['169.254.169.253', 32, 'metadata'],
  ['169.254.169.252', 32, 'metadata'],
  ['169.254.169.251', 32, 'metadata'],
  ['169.254.169.250', 32, 'metadata'],
  ['169.254.169.123', 32, 'metadata'],
  ['169.254.170.2', 32, 'metadata'],
  ['169.254.170.23', 32, 'metadata'],
  ['169.254.0.23', 32, 'metadata'],
  ['169.254.20.10', 32, 'metadata'],
  ['169.254.42.42', 32, 'metadata'],
  ['100.100.2.136', 32, 'metadata'],
  ['100.100.2.138', 32, 'metadata'],
  ['100.100.100.100', 32, 'metadata'],
  ['100.100.100.200', 32, 'metadata'],
  ['192.0.0.192', 32, 'metadata'],
  ['255.255.255.255', 32, 'broadcast'],
  ['192.0.0.0', 24, 'reserved'],
  ['192.0.2.0', 24, 'documentation'],
  ['192.31.196.0', 24, 'reserved'],
  ['192.52.193.0', 24, 'reserved'],
  ['192.88.99.0', 24, 'reserved'],
  ['192.175.48.0', 24, 'reserved'],
  ['198.51.100.0', 24, 'documentation'],
  ['203.0.113.0', 24, 'documentation'],
  ['169.254.0.0', 16, 'link-local'],
  ['192.168.0.0', 16, 'private'],
  ['198.18.0.0', 15, 'benchmarking'],
  ['172.16.0.0', 12, 'private'],
  ['0.0.0.0', 8, 'unspecified'],
  ['10.0.0.0', 8, 'private'],
  ['127.0.0.0', 8, 'loopback'],
  ['224.0.0.0', 4, 'multicast'],
  ['240.0.0.0', 4, 'reserved'],
];
/** And about IPv6: what 2000::/3 leaves, and the special ranges within it. */
const CLOSED_6: readonly (readonly [string, number, AddressKind])[] = [
  ['64:ff9b::', 96, 'embedded'],
  ['64:ff9b:1::', 48, 'embedded'],
  ['2001:2::', 48, 'benchmarking'],
  ['2620:4f:8000::', 48, 'reserved'],
  ['2001::', 32, 'embedded'],
  ['2001:db8::', 32, 'documentation'],
  ['2001::', 23, 'reserved'],
  ['3fff::', 20, 'documentation'],
  ['2002::', 16, 'embedded'],
  ['3ffe::', 16, 'reserved'],
  ['fe80::', 10, 'link-local'],
  ['fec0::', 10, 'private'],
  ['ff00::', 8, 'multicast'],
  ['fc00::', 7, 'unique-local'],
  ['::', 3, 'reserved'],
  ['4000::', 2, 'reserved'],
  ['8000::', 1, 'reserved'],
];

// Two lists, because one list matches IPv4 addresses against ranges around ::ffff:0:0/96 too.
const closed4 = new BlockList();
const closed6 = new BlockList();
for (const [base, prefix] of CLOSED_4) closed4.addSubnet(base, prefix, 'ipv4');
for (const [base, prefix] of CLOSED_6) closed6.addSubnet(base, prefix, 'ipv6');
const isIsatap = (value: bigint): boolean => ((value >> 32n) & 0xfdffffffn) === 0x5efen;

const text4 = (value: bigint): string =>
  [24n, 16n, 8n, 0n].map((shift) => String((value >> shift) & 255n)).join('.');
const text6 = (value: bigint): string =>
  [112n, 96n, 80n, 64n, 48n, 32n, 16n, 0n]
    .map((shift) => ((value >> shift) & 0xffffn).toString(16))
    .join(':');

function value4(text: string): bigint {
  return text.split('.').reduce((sum, part) => (sum << 8n) | BigInt(part), 0n);
}
/** Of the bases above only: they end in `::`. */
function value6(text: string): bigint {
  const parts = text.replace('::', '').split(':').filter(Boolean);
  const head = parts.reduce((sum, part) => (sum << 16n) | BigInt(`0x${part}`), 0n);
  return head << BigInt(16 * (8 - parts.length));
}

/** Addresses anywhere, in the ranges, and around their edges. */
function addresses(
  bits: number,
  ranges: readonly (readonly [bigint, number, ...unknown[]])[],
): fc.Arbitrary<bigint> {
  const all = 1n << BigInt(bits);
  const near = ranges.flatMap(([base, prefix]) => {
    const size = 1n << BigInt(bits - prefix);
    const edges = [base - 1n, base, base + size - 1n, base + size].map((at) => (at + all) % all);
    return [fc.constantFrom(...edges), fc.bigInt(base, base + size - 1n)];
  });
  return fc.oneof(fc.bigInt(0n, all - 1n), ...near);
}

const isOpen = (text: string): boolean =>
  ['public', 'carrier-grade-nat'].includes(classifyAddress(text).kind);

test('IPv4 is open exactly where the registries say that it is global, and to carrier-grade NAT', () => {
  const ranges = CLOSED_4.map(([base, prefix]) => [value4(base), prefix] as const);
  fc.assert(
    fc.property(addresses(32, ranges), (value) => {
      const text = text4(value);
      assert.equal(isOpen(text), !closed4.check(text, 'ipv4'), text);
    }),
    { numRuns: 20_000 },
  );
});

test('IPv6 is open exactly where the registries say that it is global', () => {
  const ranges = CLOSED_6.map(([base, prefix]) => [value6(base), prefix] as const);
  fc.assert(
    fc.property(addresses(128, ranges), (value) => {
      const text = text6(value);
      assert.equal(isOpen(text), !closed6.check(text, 'ipv6') && !isIsatap(value), text);
    }),
    { numRuns: 20_000 },
  );
});

/** The kind that the table gives: that of the first range the value lies in. */
function kindInTable(
  value: bigint,
  bits: number,
  ranges: readonly (readonly [bigint, number, AddressKind])[],
): AddressKind | undefined {
  const found = ranges.find(([base, prefix]) => {
    const shift = BigInt(bits - prefix);
    return value >> shift === base >> shift;
  });
  return found?.[2];
}

test('IPv4 addresses anywhere have the kind that the registries give them', () => {
  const ranges = CLOSED_4.map(([base, prefix, kind]) => [value4(base), prefix, kind] as const);
  const carriers = [[value4('100.64.0.0'), 10, 'carrier-grade-nat']] as const;
  fc.assert(
    fc.property(addresses(32, [...ranges, ...carriers]), (value) => {
      const expected = kindInTable(value, 32, [...ranges, ...carriers]) ?? 'public';
      assert.equal(classifyAddress(text4(value)).kind, expected, text4(value));
    }),
    { numRuns: 20_000 },
  );
});

test('IPv6 addresses of the named ranges have the kind that the registries give them', () => {
  const ranges = CLOSED_6.map(([base, prefix, kind]) => [value6(base), prefix, kind] as const);
  // Single addresses with a meaning of their own, and forms that carry IPv4: the next tests'.
  const isSpecial = (value: bigint): boolean =>
    value >> 48n <= 1n || value >> 32n === 0xffff0000n || isIsatap(value);
  fc.assert(
    fc.property(addresses(128, ranges), (value) => {
      const { kind } = classifyAddress(text6(value));
      if (isSpecial(value) || kind === 'metadata') return;
      assert.equal(kind, kindInTable(value, 128, ranges) ?? 'public', text6(value));
    }),
    { numRuns: 20_000 },
  );
});

test('every kind is told by its name', () => {
  const kinds: Record<string, string> = {
    '8.8.8.8': 'public',
    '2606:4700::1111': 'public',
    '100.64.0.1': 'carrier-grade-nat',
    '10.1.2.3': 'private',
    '172.31.255.255': 'private',
    '192.168.1.1': 'private',
    'fec0::1': 'private',
    '127.8.8.8': 'loopback',
    '::1': 'loopback',
    '169.254.1.1': 'link-local',
    'fe80::1': 'link-local',
    'fd12:3456::1': 'unique-local',
    '239.255.255.250': 'multicast',
    'ff02::1': 'multicast',
    '255.255.255.255': 'broadcast',
    '203.0.113.9': 'documentation',
    '2001:db8::9': 'documentation',
    '3fff::1': 'documentation',
    '198.19.0.1': 'benchmarking',
    '2001:2::1': 'benchmarking',
    '0.0.0.0': 'unspecified',
    '::': 'unspecified',
    '240.0.0.1': 'reserved',
    '192.88.99.1': 'reserved',
    '100::1': 'reserved',
    '5f00::1': 'reserved',
    '64:ff9b:1::a00:1': 'embedded',
    '169.254.169.254': 'metadata',
    '168.63.129.16': 'metadata',
    '100.100.100.200': 'metadata',
    '100.100.2.136': 'metadata',
    '169.254.169.252': 'metadata',
    'fd00:a9fe:a9fe::1': 'metadata',
    'fd00:ec2::254': 'metadata',
    'fe80::a9fe:a9fe': 'metadata',
  };
  for (const [address, kind] of Object.entries(kinds)) {
    assert.equal(classifyAddress(address).kind, kind, address);
  }
});

test('an IPv4 address within an IPv6 address is found and named in every known form', () => {
  const forms = [
    '::ffff:169.254.169.254',
    '::ffff:a9fe:a9fe',
    '::ffff:0:169.254.169.254',
    '64:ff9b::169.254.169.254',
    '64:ff9b:1::169.254.169.254',
    '2002:a9fe:a9fe::1',
    '2001:0:102:304:0:0:5601:5601',
    '::a9fe:a9fe',
    '::169.254.169.254',
    '2606:4700::5efe:169.254.169.254',
    '2606:4700::200:5efe:a9fe:a9fe',
  ];
  for (const form of forms) {
    const { kind, description } = classifyAddress(form);
    assert.equal(kind, 'embedded', form);
    assert.match(description, /169\.254\.169\.254, the metadata service/, form);
  }
});

test('what is not an address is refused loudly', () => {
  for (const text of ['', 'a', '1.2.3', '0x7f.1', '010.0.0.1', 'fe80::1%eth0', '1::2::3']) {
    assert.throws(() => classifyAddress(text), TypeError, text);
  }
});
