/** Another sandbox that runs at the same time: what one job reaches of the other. */
import { isIPv4, isIPv6 } from 'node:net';
import type { NetworkMode } from '@onejob/protocol';
import type { Attack, Place, Places, Probe, SandboxAttack } from '../attack.ts';
import { CHECKSUM, packedAddress } from './spoofing.ts';
import { PROCESS_CONTROL, secretForm, underProc, type World } from './world.ts';

/** The name of the value that only the neighbour has. */
export const NEIGHBOUR = 'neighbour';
/** What the neighbour's job says of its own addresses. */
export const NEIGHBOUR_ADDRESSES = 'neighbour-addresses';
/** Below those that kernels take for connections out: of these a flood may have left one behind. */
const PORT = 27110;
/** Of what the host puts at the addresses that it has for the neighbour. */
const END_PORT = 27111;
const FILE = '/tmp/onejob-prove-neighbour';
const SOCKET = 'onejob-prove-neighbour';
const MEMORY = 0x6a0e;

/** Of both versions of IP, or of the one that there is. Who asks is heard out: else it may be told of a reset only. */
const PERL_SERVER = `
  $SIG{PIPE} = "IGNORE";
  sub serve {
    my ($port) = @_;
    my $six = socket(T, 10, 1, 6);
    $six or socket(T, 2, 1, 6);
    setsockopt(T, 1, 2, pack("i", 1)); $six and setsockopt(T, 41, 26, pack("i", 0));
    bind(T, $six ? pack("S n N x16 N", 10, $port, 0, 0) : pack("S n x12", 2, $port)) or die "port $!";
    listen(T, 20);
  }
  sub answer {
    my ($from, $value) = @_;
    accept(my $peer, $from) or return;
    send($peer, "$value\\n", 0); shutdown($peer, 1);
    my $asked = ""; vec($asked, fileno($peer), 1) = 1;
    select($asked, undef, undef, 0.5) and sysread($peer, my $text, 500);
    close $peer;
  }`;

/** What the neighbour does: it shows its value everywhere, says `ready`, and stays. */
export const neighbourScript = (value: string): string => `perl -e '${PERL_SERVER}
  my $value = "${value}";
  $0 = $value;
  open(my $file, ">", "${FILE}") or die "file $!"; print $file $value; close $file;
  my $id = shmget(${MEMORY}, 64, 01600); shmwrite($id, $value, 0, 64) or die "memory $!";
  serve(${PORT});
  socket(U, 1, 1, 0); bind(U, pack("S", 1) . "\\0${SOCKET}") or die "socket $!"; listen(U, 5);
  $| = 1; print "ready\\n";
  while (1) {
    my $ready = ""; vec($ready, fileno($_), 1) = 1 for (*T, *U);
    select($ready, undef, undef, undef);
    for my $from (*T, *U) { answer($from, $value) if vec($ready, fileno($from), 1) }
  }'`;

/** A program of perl for an end of the neighbour's network: says `ready`, answers with the value, and stays. */
export const endProgram = (value: string): string =>
  `${PERL_SERVER} serve(${END_PORT}); $| = 1; print "ready\\n"; answer(*T, "${value}") while 1;`;

/** Prints the addresses that others could reach it by, a line each. */
export const ADDRESSES_SCRIPT =
  'ip -o addr show up scope global | ' +
  `perl -ne 'm{^\\d+: (?!lo\\s)\\S+\\s+inet6? ([0-9a-f.:]+)} and print "$1\\n"'`;

/** Pure: what that script printed; a job said it, so nothing but addresses is taken from it. */
export function ownPlaces(printed: string): Places {
  const words = printed.split(/\s+/);
  const [four, six] = [words.find((one) => isIPv4(one)), words.find((one) => isIPv6(one))];
  return new Map([
    ...(four === undefined ? [] : [['address', four] as const]),
    ...(six === undefined ? [] : [['address-6', six] as const]),
  ]);
}

/** Does it look for something of the other sandbox? */
export const asksNeighbour = (attack: Attack): boolean =>
  attack.kind === 'sandbox' &&
  ((attack.evidence.by === 'secret' && attack.evidence.name === NEIGHBOUR) ||
    placeOf(attack) !== undefined);

/** Does it go where only a sandbox with a network of its own has an address on the host? */
export const needsEnds = (attack: Attack): boolean =>
  attack.kind === 'sandbox' && /^(namespace|host-end)/.test(placeOf(attack) ?? '');

const placeOf = ({ probes }: SandboxAttack): Place | undefined =>
  probes.flatMap(({ probe }) => (probe.do === 'reach' ? [probe.place] : []))[0];

/** Pure: the attack with its addresses; undefined: there is no such address. */
export function aim(attack: SandboxAttack, places: Places): SandboxAttack | undefined {
  const place = placeOf(attack);
  if (place === undefined) return attack;
  const address = places.get(place);
  if (address === undefined) return undefined;
  const probes = attack.probes.map(({ turn, probe }) => ({
    turn,
    probe: probe.do === 'reach' ? aimProbe(probe, address) : probe,
  }));
  return { ...attack, probes };
}

function aimProbe({ place, by }: Extract<Probe, { do: 'reach' }>, address: string): Probe {
  if (by === 'ping') return { do: 'script', script: pingScript(address) };
  const host = isIPv6(address) ? `[${address}]` : address;
  // All machines have the same address: who asks for it straight asks itself.
  return place.startsWith('address')
    ? { do: 'connect', target: `${host}:${PORT}`, times: 1, way: 'proxy' }
    : { do: 'connect', target: `${host}:${END_PORT}`, times: 1 };
}

const ANSWERED = 'answered by';

/** An echo request (RFC 792, RFC 4443) through a raw socket; in IPv6 the kernel makes its checksum. */
function pingScript(address: string): string {
  const end = `{ print "${ANSWERED} ${address}"; exit 0 }`;
  const listen =
    'local $SIG{ALRM} = sub { exit 1 }; alarm 3; while (1) { my $from = recv(S, my $in, 500, 0); ';
  if (isIPv4(address)) {
    const to = packedAddress(address);
    return (
      `perl -e '${CHECKSUM} socket(S, 2, 3, 1) or die $!; my $p = pack("CCnnn a10", 8, 0, 0, 78, 1, "prove-ping"); ` +
      `substr($p, 2, 2) = pack("n", sum($p)); send(S, $p, 0, pack("S n a4 x8", 2, 0, ${to})) or die $!; ` +
      `${listen}if (substr($from, 4, 4) eq ${to} && unpack("x20 C", $in) == 0) ${end} }'`
    );
  }
  const to = `pack("H32", "${hexadecimal6(address)}")`;
  return (
    `perl -e 'socket(S, 10, 3, 58) or die $!; my $p = pack("CCnnn a10", 128, 0, 0, 78, 1, "prove-ping"); ` +
    `send(S, $p, 0, pack("S n N a16 N", 10, 0, 0, ${to}, 0)) or die $!; ` +
    `${listen}if (substr($from, 8, 16) eq ${to} && unpack("C", $in) == 129) ${end} }'`
  );
}

/** Pure: the sixteen bytes of an address as `ip` writes it. */
export function hexadecimal6(address: string): string {
  const [before = '', after] = address.split('::');
  const groups = (text: string): string[] =>
    text === '' ? [] : text.split(':').map((group) => group.padStart(4, '0'));
  const [first, last] = [groups(before), groups(after ?? '')];
  const zeros = after === undefined ? 0 : 8 - first.length - last.length;
  return [...first, ...Array.from({ length: zeros }, () => '0000'), ...last].join('');
}

const ON_ITSELF: readonly [id: string, title: string, probe: Probe][] = [
  [
    'port',
    'reaches a port of another sandbox at its own loopback',
    { do: 'script', script: `timeout 3 bash -c 'cat < /dev/tcp/127.0.0.1/${PORT}'` },
  ],
  [
    'socket',
    'connects to an abstract socket of another sandbox',
    { do: 'socket', path: `@${SOCKET}`, ask: '' },
  ],
  ['file', 'reads a file of another sandbox', { do: 'script', script: `cat ${FILE}` }],
  [
    'memory',
    'reads shared memory of another sandbox',
    {
      do: 'script',
      script: `perl -e 'my $id = shmget(${MEMORY}, 0, 0); exit 1 unless defined $id; shmread($id, my $text, 0, 64) or exit 1; print $text;'`,
    },
  ],
  [
    'process',
    'sees a process of another sandbox',
    {
      do: 'script',
      script: underProc(
        `cat /proc/[0-9]*/cmdline | tr "\\0" "\\n" | grep -a -o "${secretForm(NEIGHBOUR)}" | head -n 1`,
      ),
    },
  ],
];

/** At addresses that every machine has: the guard's host would be asked for them. */
const BY_PROXY: readonly [id: string, title: string, probe: Probe][] = [
  [
    'proxy',
    "asks the guard's proxy for a port of another sandbox",
    { do: 'connect', target: `127.0.0.1:${PORT}`, times: 1, way: 'proxy' },
  ],
  [
    'proxy-6',
    "asks the guard's proxy for a port of another sandbox in IPv6",
    { do: 'connect', target: `[::1]:${PORT}`, times: 1, way: 'proxy' },
  ],
];

const BY_PROXY_ONLY = {
  expected: 'the proxy refuses it',
  control: 'the driver process for both, with a proxy that judges nothing',
} as const;

const REACHED: readonly [id: string, place: Place, by: 'connection' | 'ping', what: string][] = [
  ['address', 'address', 'connection', 'the IPv4 address that its machine has'],
  ['address-6', 'address-6', 'connection', 'the IPv6 address that its machine has'],
  ['namespace', 'namespace', 'connection', 'the IPv4 address of its namespace'],
  ['namespace-6', 'namespace-6', 'connection', 'the IPv6 address of its namespace'],
  ['host-end', 'host-end', 'connection', "its gateway: the host's end, in IPv4"],
  ['host-end-6', 'host-end-6', 'connection', "its gateway: the host's end, in IPv6"],
  ['ping', 'namespace', 'ping', 'the IPv4 address of its namespace'],
  ['ping-6', 'namespace-6', 'ping', 'the IPv6 address of its namespace'],
  ['ping-host-end', 'host-end', 'ping', "its gateway: the host's end, in IPv4"],
  ['ping-host-end-6', 'host-end-6', 'ping', "its gateway: the host's end, in IPv6"],
];

const REFUSED: Readonly<Record<NetworkMode, string>> = {
  link: 'nothing but the proxy is there, and it refuses',
  nat: 'rules of packets refuse it, and so does the proxy',
};

export function neighbourAttacks({ network }: Pick<World, 'network'>): SandboxAttack[] {
  const attack = (id: string, title: string, probe: Probe) => ({
    ...{ kind: 'sandbox' as const, id: `neighbour-${id}`, class: 'escape' as const, title },
    expected: 'nothing of the other one is there',
    control: `${PROCESS_CONTROL}, for both`,
    probes: [{ turn: 'first' as const, probe }],
    evidence: { by: 'secret' as const, name: NEIGHBOUR },
  });
  return [
    ...ON_ITSELF.map(([id, title, probe]) => attack(id, title, probe)),
    ...BY_PROXY.map(([id, title, probe]) => ({
      ...attack(id, title, probe),
      ...BY_PROXY_ONLY,
    })),
    ...REACHED.map(([id, place, by, what]): SandboxAttack => {
      const reach = { do: 'reach' as const, place, by };
      if (place.startsWith('address')) {
        return {
          ...attack(id, `asks the guard's proxy for a port of another sandbox at ${what}`, reach),
          ...BY_PROXY_ONLY,
        };
      }
      const verb = by === 'ping' ? 'pings another sandbox' : 'reaches a port of another sandbox';
      return {
        ...attack(id, `${verb} at ${what}`, reach),
        expected: by === 'ping' ? 'rules of packets refuse it' : REFUSED[network],
        control:
          'the driver process, and a namespace with such addresses and without rules of packets',
        ...(by === 'ping' && { evidence: { by: 'text', text: ANSWERED } }),
      };
    }),
  ];
}
