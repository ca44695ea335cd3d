/** A datagram whose source port is 0: no socket of its own sends one, a raw socket of root's does. */

/** $ARGV: address, port, payload in hexadecimal. The checksum of UDP may be left out (RFC 768). */
const SEND = `
use Socket;
my ($address, $port, $payload) = ($ARGV[0], $ARGV[1], pack('H*', $ARGV[2]));
socket(my $raw, AF_INET, SOCK_RAW, 17) or die $!;
my $datagram = pack('n4', 0, $port, 8 + length $payload, 0) . $payload;
send($raw, $datagram, 0, sockaddr_in(0, inet_aton($address))) or die $!;`;

/** The words of a command, for root. */
export const portlessDatagram = (
  to: { address: string; port: number },
  payload: Uint8Array,
): [string, ...string[]] => [
  ...(['perl', '-e', SEND] as const),
  ...[to.address, String(to.port), Buffer.from(payload).toString('hex')],
];
