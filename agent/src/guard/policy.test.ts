/** What is refused and why, asked as the guard asks it: from the authority to the verdict. */
import assert from 'node:assert/strict';
import { globSync, readFileSync } from 'node:fs';
import { test } from 'node:test';
import fc from 'fast-check';
import { AgentError } from '../errors.ts';
import { parseAuthority } from './authority.ts';
import { AUDIT, NOTHING, readJobPolicy } from './job-policy.ts';
import {
  compilePolicy,
  judgeAddresses,
  judgeTarget,
  type Permission,
  type PolicyOptions,
  type Refusal,
} from './policy.ts';

const OPEN: PolicyOptions = {};

/** @param answered addresses that a resolver would give; a literal address answers itself */
function judge(
  authority: string,
  options: PolicyOptions = OPEN,
  { answered = ['93.184.215.14'], own = [] as string[], jobPolicy = AUDIT } = {},
): Refusal | Permission {
  const policy = compilePolicy(options);
  const target = parseAuthority(authority);
  const early = judgeTarget(target, policy, jobPolicy);
  if (early !== undefined) return early;
  const addresses = target.kind === 'address' ? [target.host] : answered;
  return judgeAddresses(target, addresses, policy, own);
}

test('public targets are allowed', () => {
  for (const authority of ['example.org:443', '8.8.8.8:53', '[2606:4700::1111]:443', 'a.co:22']) {
    assert.deepEqual(judge(authority), { verdict: 'allowed', rule: 'public-address' }, authority);
  }
  assert.equal(judge('100.64.3.4:443').rule, 'carrier-grade-nat-address');
});

test('each hostile target is refused by the rule that is meant for it', () => {
  const targets: Record<string, string> = {
    'localhost:80': 'local-name',
    'LOCALHOST.:80': 'local-name',
    'a.localhost:80': 'local-name',
    'metadata.google.internal:80': 'local-name',
    'printer.local:80': 'local-name',
    'router.lan:80': 'local-name',
    'metadata:80': 'local-name',
    'Metadata.Packet.Net.:80': 'metadata-name',
    'metadata.platformequinix.com:80': 'metadata-name',
    'kubernetes.default.svc:443': 'local-name',
    'kubernetes.default.svc.cluster.local:443': 'local-name',
    'nas.home.arpa:80': 'local-name',
    '169.254.169.254:80': 'metadata-address',
    '[fd00:ec2::254]:80': 'metadata-address',
    '100.100.100.200:80': 'metadata-address',
    '168.63.129.16:80': 'metadata-address',
    '127.0.0.1:80': 'loopback-address',
    '127.0.0.1.:80': 'loopback-address',
    '[::1]:80': 'loopback-address',
    '0.0.0.0:80': 'unspecified-address',
    '[::]:80': 'unspecified-address',
    '10.0.0.1:80': 'private-address',
    '[fd12::1]:80': 'unique-local-address',
    '[fe80::1]:80': 'link-local-address',
    '224.0.0.1:80': 'multicast-address',
    '255.255.255.255:80': 'broadcast-address',
    '[::ffff:8.8.8.8]:80': 'embedded-address',
    '[64:ff9b::10.0.0.1]:80': 'embedded-address',
    '2130706433:80': 'unusual-address-form',
    '0x7f.1:80': 'unusual-address-form',
    'example.org:25': 'refused-port',
    'example.org:0': 'malformed-authority',
    '[fe80::1%lo]:80': 'malformed-authority',
  };
  for (const [authority, rule] of Object.entries(targets)) {
    const verdict = judge(authority);
    assert.equal(verdict.verdict, 'refused', authority);
    assert.equal(verdict.rule, rule, authority);
    assert.match('reason' in verdict ? verdict.reason : '', /^[\x20-\x7e]{20,500}$/, authority);
  }
});

test('one refused address among the answers refuses the name, wherever it stands', () => {
  const bad = fc.constantFrom('10.0.0.1', '169.254.169.254', '::1', '::ffff:101:101', 'fd00::1');
  const good = fc.array(fc.constantFrom('93.184.215.14', '1.1.1.1', '2606:4700::1111'));
  fc.assert(
    fc.property(good, bad, good, (before, inside, after) => {
      const verdict = judge('example.org:443', OPEN, { answered: [...before, inside, ...after] });
      assert.equal(verdict.verdict, 'refused');
      assert.ok(!('address' in verdict), 'which one it was is not said');
    }),
  );
});

test('no answered address is no permission', () => {
  assert.equal(judge('example.org:443', OPEN, { answered: [] }).verdict, 'refused');
});

const octets = fc.tuple(...[0, 1, 2, 3].map(() => fc.integer({ min: 0, max: 255 })));
const refusedIPv4 = fc
  .oneof(
    octets,
    octets.map(([, b, c, d]) => [127, b, c, d]),
    octets.map(([, b, c, d]) => [10, b, c, d]),
    octets.map(([, , c, d]) => [169, 254, c, d]),
    octets.map(([, , c, d]) => [192, 168, c, d]),
    fc.constantFrom([169, 254, 169, 254], [168, 63, 129, 16], [100, 100, 100, 200]),
  )
  .map((parts) => parts as [number, number, number, number])
  .filter((parts) => judge(`${parts.join('.')}:80`).verdict === 'refused');

/** Every way to write an IPv4 address that some C library, URL parser or translator reads. */
function formsOf(parts: readonly [number, number, number, number], radixes: readonly number[]) {
  const [a, b, c, d] = parts;
  const write = (value: number, index: number): string =>
    [
      String(value),
      `0x${value.toString(16)}`,
      `0X${value.toString(16).padStart(10, '0')}`,
      `0${value.toString(8)}`,
    ][radixes[index]! % 4]!;
  const low = (c << 8) | d;
  const whole = ((a << 24) | (b << 16) | low) >>> 0;
  const lists = [[a, b, c, d], [a, b, low], [a, ((b << 16) | low) >>> 0], [whole]];
  const dotted = parts.join('.');
  const high16 = ((a << 8) | b).toString(16);
  const low16 = low.toString(16);
  return [
    ...lists.flatMap((list) => [list.map(write).join('.'), `${list.map(write).join('.')}.`]),
    `${dotted}.`,
    `[::ffff:${dotted}]`,
    `[::FFFF:${high16}:${low16}]`,
    `[0:0:0:0:0:ffff:${high16}:${low16}]`,
    `[::ffff:0:${dotted}]`,
    `[64:ff9b::${dotted}]`,
    `[64:ff9b:1::${dotted}]`,
    `[2002:${high16}:${low16}::]`,
    `[2001:0:0:0:0:0:${(((a << 8) | b) ^ 0xffff).toString(16)}:${(low ^ 0xffff).toString(16)}]`,
    `[2606:4700::5efe:${dotted}]`,
    `[::${dotted}]`,
  ];
}

test('every textual form of a refused IPv4 address is refused', () => {
  fc.assert(
    fc.property(
      refusedIPv4,
      fc.array(fc.nat(3), { minLength: 4, maxLength: 4 }),
      (parts, radixes) => {
        for (const form of formsOf(parts, radixes)) {
          assert.equal(judge(`${form}:80`).verdict, 'refused', form);
        }
        const named = judge('rebound.example.org:80', OPEN, { answered: [parts.join('.')] });
        assert.equal(named.verdict, 'refused');
      },
    ),
    { numRuns: 2000 },
  );
});

test('every textual form of a refused IPv6 address is refused', () => {
  const group = fc.integer({ min: 0, max: 0xffff });
  const prefixes = [
    [0xfc00],
    [0xfdff],
    [0xfe80],
    [0xfec0],
    [0xff02],
    [0x2002],
    [0x2001, 0xdb8],
    [0, 0],
    [0x4000],
  ];
  const address = fc
    .tuple(
      fc.constantFrom(...prefixes),
      fc.array(fc.oneof(fc.constant(0), group), { minLength: 8, maxLength: 8 }),
    )
    .map(([prefix, rest]) => [...prefix, ...rest].slice(0, 8));
  fc.assert(
    fc.property(address, (groups) => {
      const plain = groups.map((one) => one.toString(16)).join(':');
      const padded = groups.map((one) => one.toString(16).padStart(4, '0').toUpperCase()).join(':');
      const compressed = new URL(`http://[${plain}]/`).hostname;
      const [g, h] = groups.slice(6) as [number, number];
      const dotted = [
        ...plain.split(':').slice(0, 6),
        [g >> 8, g & 255, h >> 8, h & 255].join('.'),
      ];
      for (const form of [`[${plain}]`, `[${padded}]`, compressed, `[${dotted.join(':')}]`]) {
        assert.equal(judge(`${form}:80`).verdict, 'refused', form);
      }
    }),
    { numRuns: 2000 },
  );
});

test('policy none refuses everything that it can read', () => {
  for (const jobPolicy of [NOTHING, readJobPolicy([]), readJobPolicy(['audit', 'none'])]) {
    assert.equal(judge('example.org:443', OPEN, { jobPolicy }).rule, 'policy-none');
    assert.equal(judge('8.8.8.8:443', OPEN, { jobPolicy }).rule, 'policy-none');
  }
});

test('an allow-list lets on the names, ports and addresses it has, and those that the guard lets on', () => {
  const list =
    'example.org *.example.net:443 93.184.215.0/24 [2606:4700::/32]:443 10.0.0.0/8 a.local';
  const jobPolicy = readJobPolicy(['audit', list]);
  const ruleOf = (authority: string, answered?: string[]): string =>
    judge(authority, OPEN, answered === undefined ? { jobPolicy } : { jobPolicy, answered }).rule;
  for (const authority of [
    'example.org:443',
    'EXAMPLE.org.:8080',
    'cdn.example.net:443',
    'a.b.example.net:443',
    '93.184.215.14:80',
    '[2606:4700:0::1]:443',
  ]) {
    assert.equal(ruleOf(authority), 'public-address', authority);
  }
  for (const authority of [
    'example.com:443',
    'www.example.org:443',
    'notexample.net:443',
    'example.net:443',
    'cdn.example.net:80',
    'example.org.evil.com:443',
    '93.184.216.14:80',
    '[2606:4700::1]:80',
    '[2606:4701::1]:443',
  ]) {
    assert.equal(ruleOf(authority), 'not-on-allow-list', authority);
  }
  // A name is let on by name, wherever it leads: to a range that has a rule, or to one that is closed.
  assert.equal(ruleOf('other.org:80', ['93.184.215.14']), 'not-on-allow-list');
  assert.equal(ruleOf('example.org:443', ['192.168.0.1']), 'private-address');
  assert.equal(ruleOf('10.1.2.3:443'), 'private-address');
  assert.equal(ruleOf('a.local:443'), 'local-name');
  assert.equal(ruleOf('example.org:25'), 'refused-port');
});

test('of several policies each must allow: the second one only narrows the first', () => {
  const jobPolicy = readJobPolicy(['*.example.org 93.184.215.0/24', 'a.example.org:443 b.net']);
  const ruleOf = (authority: string): string => judge(authority, OPEN, { jobPolicy }).rule;
  assert.equal(ruleOf('a.example.org:443'), 'public-address');
  for (const authority of [
    'a.example.org:80',
    'b.example.org:443',
    'b.net:443',
    '93.184.215.14:443',
  ]) {
    assert.equal(ruleOf(authority), 'not-on-allow-list', authority);
  }
});

test('every range that the notation has can be asked about', () => {
  const ranges = fc.oneof(
    fc.tuple(fc.ipV4(), fc.nat(32)).map(([address, bits]) => `${address}/${bits}`),
    fc.tuple(fc.ipV6(), fc.nat(128)).map(([address, bits]) => `${address}/${bits}`),
  );
  fc.assert(
    fc.property(ranges, (range) => {
      const jobPolicy = readJobPolicy([range]);
      const host = range.split('/')[0]!;
      const authority = host.includes(':') ? `[${host}]:443` : `${host}:443`;
      // An address is in every range that is written with it.
      assert.notEqual(judge(authority, OPEN, { jobPolicy }).rule, 'not-on-allow-list');
    }),
    { numRuns: 1000 },
  );
});

test('a policy of the control plane that cannot be read is an error, and no wider one', () => {
  assert.throws(() => readJobPolicy(['audit', 'example.org:x']), AgentError);
  assert.throws(() => readJobPolicy(['']), AgentError);
});

test("the host's own addresses are refused, public ones too, and by every name", () => {
  const own = ['93.184.215.14', '2606:4700::1'];
  assert.equal(judge('93.184.215.14:443', OPEN, { own }).rule, 'own-address');
  assert.equal(judge('[2606:4700:0::0001]:443', OPEN, { own }).rule, 'own-address');
  assert.equal(judge('example.org:443', OPEN, { own }).rule, 'own-address');
  assert.equal(judge('1.1.1.1:443', OPEN, { own }).verdict, 'allowed');
});

test('on a host within the carrier-grade NAT range that range is the inside', () => {
  const own = ['100.90.1.2'];
  assert.equal(judge('100.64.3.4:443', OPEN, { own }).rule, 'carrier-grade-nat-address');
  assert.equal(judge('100.64.3.4:443', OPEN, { own }).verdict, 'refused');
});

test('closed ranges and ports of the operator are closed, also before an opening', () => {
  const options: PolicyOptions = {
    refusedRanges: ['93.184.0.0/16', '10.2.0.0/16', '2606:4700::/32'],
    refusedPorts: [{ from: 6000, to: 6100 }],
    hazardousReachableRanges: ['10.0.0.0/8'],
  };
  assert.equal(judge('93.184.215.14:443', options).rule, 'operator-refused-range');
  assert.equal(judge('[2606:4700::9]:443', options).rule, 'operator-refused-range');
  assert.equal(judge('10.2.3.4:443', options).rule, 'operator-refused-range');
  assert.equal(judge('10.3.3.4:443', options).rule, 'hazardous-reachable-range');
  assert.equal(judge('1.1.1.1:6000', options).rule, 'refused-port');
  assert.equal(judge('1.1.1.1:6100', options).rule, 'refused-port');
  assert.equal(judge('1.1.1.1:6101', options).verdict, 'allowed');
  assert.equal(judge('1.1.1.1:25', options).verdict, 'allowed');
});

test('no opening reaches metadata, embedded forms, own addresses or loopback', () => {
  const options: PolicyOptions = {
    hazardousReachableRanges: ['10.0.0.0/8', '100.64.0.0/10', 'fc00::/7'],
  };
  const own = ['10.0.0.5'];
  assert.equal(judge('10.0.0.6:443', options, { own }).verdict, 'allowed');
  assert.equal(judge('10.0.0.5:443', options, { own }).rule, 'own-address');
  assert.equal(judge('100.100.100.200:80', options).rule, 'metadata-address');
  assert.equal(judge('[fd00:ec2::254]:80', options).rule, 'metadata-address');
  assert.equal(judge('[::ffff:10.0.0.6]:80', options).rule, 'embedded-address');
  assert.equal(judge('127.0.0.1:80', options).rule, 'loopback-address');
});

test('wrong ranges and ports are configuration errors that name the value', () => {
  for (const range of [
    '127.0.0.0/8',
    '0.0.0.0/0',
    '169.254.0.0/16',
    '::/0',
    '8.8.8.0/24',
    '10.0.0.0/7',
    '::1/128',
    'fe80::/10',
  ]) {
    assert.throws(
      () => compilePolicy({ hazardousReachableRanges: [range] }),
      (error) =>
        error instanceof AgentError &&
        error.code === 'invalid_configuration' &&
        error.message.includes(range),
      range,
    );
  }
  for (const range of [
    '',
    '10.0.0.0',
    '10.0.0.0/33',
    '10.0/8',
    '0xa.0.0.0/8',
    'a/8',
    '::1/129',
    '10.0.0.0/',
  ]) {
    assert.throws(() => compilePolicy({ refusedRanges: [range] }), AgentError, range);
  }
  for (const [from, to] of [
    [0, 1],
    [5, 4],
    [1, 65_536],
    [1.5, 2],
  ] as const) {
    assert.throws(() => compilePolicy({ refusedPorts: [{ from, to }] }), AgentError);
  }
});

test('no source but the policy itself knows the opening of loopback', () => {
  const root = new URL('../../../', import.meta.url).pathname;
  const sources = globSync('{agent,cli,control-plane,guest-runner}/src/**/*.ts', { cwd: root });
  assert.ok(sources.includes('agent/src/guard/policy.ts'));
  const knowing = sources
    .filter((path) => !path.endsWith('.test.ts') && !path.split('/').at(-1)!.startsWith('_'))
    .filter((path) => readFileSync(root + path, 'utf8').includes('hazardousReachableLoopback'));
  assert.deepEqual(knowing, ['agent/src/guard/policy.ts']);
});
