/**
 * How a machine monitor gets its tap: opened in the sandbox's network namespace by a few lines of Perl
 * (which every Debian has), and inherited through an exec back in the namespace of the agent. So the
 * monitor is neither in that namespace nor needs any right to its interfaces.
 */
import type { MachineCard, MachineNetwork } from '../sandbox/driver.ts';

/** linux/if_tun.h: TUNSETIFF; IFF_TAP, IFF_NO_PI, IFF_VNET_HDR. `$^F`: what an exec leaves open. */
const OPEN_TAP = `
BEGIN { $^F = $ARGV[0]; }
my ($descriptor, $tap, @command) = @ARGV;
open(my $tun, '+<', '/dev/net/tun') or die "cannot open /dev/net/tun: $!\\n";
fileno($tun) == $descriptor or die "the tap got another descriptor\\n";
my $request = pack('a16 s x22', $tap, 0x0002 | 0x1000 | 0x4000);
ioctl($tun, 0x400454ca, $request) or die "cannot open $tap: $!\\n";
exec { $command[0] } @command or die "cannot start $command[0]: $!\\n";
`;

/** It is alone in its namespace, and both end with who has it open. */
const UNCONNECTED_TAP = 'tap0';

/**
 * The words to put before a command that finds the tap open: the network's, or one with nothing at its
 * other end.
 * @param descriptor the first that is free then: behind the standard streams and what is inherited
 */
export function tapPrefix(network: MachineNetwork | MachineCard, descriptor: number): string[] {
  const isConnected = 'device' in network;
  return [
    ...(isConnected ? ['nsenter', `--net=${network.namespacePath}`] : ['unshare', '--net']),
    ...['--', 'perl', '-e', OPEN_TAP, '--', `${descriptor}`],
    ...[isConnected ? network.device : UNCONNECTED_TAP],
    ...['nsenter', `--net=/proc/${process.pid}/ns/net`, '--'],
  ];
}
