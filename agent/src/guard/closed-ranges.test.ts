/** The ranges against the judgement of single addresses, which has the registries as its peer. */
import assert from 'node:assert/strict';
import { BlockList } from 'node:net';
import { test } from 'node:test';
import fc from 'fast-check';
import { closedRanges } from './closed-ranges.ts';
import { compilePolicy, judgeAddresses, type PolicyOptions } from './policy.ts';

const POLICY: PolicyOptions = {
  refusedRanges: ['23.5.1.2/16', '2a01:5:1::/32'],
};

function isInRanges(address: string, ranges: readonly string[]): boolean {
  const list = new BlockList();
  for (const range of ranges) {
    const [base = '', prefix] = range.split('/');
    list.addSubnet(base, Number(prefix), base.includes(':') ? 'ipv6' : 'ipv4');
  }
  return list.check(address, address.includes(':') ? 'ipv6' : 'ipv4');
}

function compare(addresses: fc.Arbitrary<string>, own: readonly string[]): void {
  const policy = compilePolicy(POLICY);
  const { ipv4, ipv6 } = closedRanges(policy, own);
  fc.assert(
    fc.property(addresses, (address) => {
      const verdict = judgeAddresses({ host: address, port: 80 }, [address], policy, own);
      const isIsatap = verdict.verdict === 'refused' && verdict.reason.includes('ISATAP');
      const isClosed = isInRanges(address, address.includes(':') ? ipv6 : ipv4);
      assert.equal(isClosed || isIsatap, verdict.verdict === 'refused', address);
    }),
    { numRuns: 2000 },
  );
}

const octet = fc.integer({ min: 0, max: 255 });
const anywhere4 = fc.tuple(octet, octet, octet, octet).map((parts) => parts.join('.'));
const edges4 = fc.constantFrom(
  ...['0.255.255.255', '1.0.0.0', '9.255.255.255', '10.0.0.0', '11.0.0.0', '100.64.0.1'],
  ...['100.100.100.200', '168.63.129.16', '169.254.169.254', '23.4.255.255', '23.5.0.0'],
  ...['23.6.0.0', '93.184.215.99', '223.255.255.255', '224.0.0.0', '255.255.255.255'],
);
const part = fc.integer({ min: 0, max: 0xffff }).map((value) => value.toString(16));
const first = fc.oneof(
  part,
  fc.constantFrom('0', '64', '100', '2000', '2001', '2002', '2620', '2a01', '3ffe', '3fff', 'fd00'),
);
const second = fc.oneof(part, fc.constantFrom('0', '2', '5', 'db8', '4f', 'ff9b', 'ec2'));
const anywhere6 = fc
  .tuple(first, second, part, part, fc.constantFrom('0', '200', '1'), part, part, part)
  .map((parts) => parts.join(':'));

test('IPv4 is closed by range exactly where single addresses are refused', () => {
  compare(fc.oneof(anywhere4, edges4), ['93.184.215.99', '192.0.2.2']);
});

test('IPv6 is closed by range exactly where single addresses are refused, ISATAP aside', () => {
  compare(anywhere6, ['2606:4700:9::9', 'fe80::1%eth0'.split('%')[0]!]);
});

test('on a host that lives in carrier-grade NAT that range is closed, elsewhere it is not', () => {
  const policy = compilePolicy(POLICY);
  assert.ok(!closedRanges(policy, ['192.0.2.2']).ipv4.includes('100.64.0.0/10'));
  assert.ok(closedRanges(policy, ['100.64.3.4']).ipv4.includes('100.64.0.0/10'));
});

test('no range has bits behind its prefix, where a route would be refused', () => {
  const { ipv4, ipv6 } = closedRanges(compilePolicy(POLICY), []);
  assert.ok(ipv4.includes('23.5.0.0/16') && ipv6.includes('2a01:5::/32'));
});
