/**
 * The classification of addresses against an independent one: the IANA special-purpose registries,
 * written down again as ranges of node:net's BlockList, which shares no code with ipaddr.js.
 */
import assert from 'node:assert/strict';
import { BlockList } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { classifyAddress } from './address.ts';

/** Every range that no sandbox reaches, in IPv4. */
const CLOSED_4: readonly (readonly [string, number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.31.196.0', 24],
  ['192.52.193.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['192.175.48.0', 24],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
  ['168.63.129.16', 32],
  ['100.100.100.100', 32],
  ['100.100.100.200', 32],
];
/** In IPv6: what 2000::/3 leaves, and the special ranges within it. */
const CLOSED_6: readonly (readonly [string, number])[] = [
  ['::', 3],
  ['4000::', 2],
  ['8000::', 1],
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['2620:4f:8000::', 48],
  ['3ffe::', 16],
  ['3fff::', 20],
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
  ranges: readonly (readonly [bigint, number])[],
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
