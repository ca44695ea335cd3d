/**
 * How a machine monitor gets its tap: opened in the sandbox's network namespace by a few lines of Perl
 * (which every Debian has), and inherited through an exec back in the namespace of the agent. So the
 * monitor is neither in that namespace nor needs any right to its interfaces.
 */
import type { MachineNetwork } from '../sandbox/driver.ts';

/** The first that is free behind the standard streams. */
export const TAP_DESCRIPTOR = 3;

/** linux/if_tun.h: TUNSETIFF; IFF_TAP, IFF_NO_PI, IFF_VNET_HDR. `$^F`: what an exec leaves open. */
const OPEN_TAP = `
$^F = ${TAP_DESCRIPTOR};
my ($tap, @command) = @ARGV;
open(my $tun, '+<', '/dev/net/tun') or die "cannot open /dev/net/tun: $!\\n";
fileno($tun) == ${TAP_DESCRIPTOR} or die "the tap got another descriptor\\n";
my $request = pack('a16 s x22', $tap, 0x0002 | 0x1000 | 0x4000);
ioctl($tun, 0x400454ca, $request) or die "cannot open $tap: $!\\n";
exec { $command[0] } @command or die "cannot start $command[0]: $!\\n";
`;

/** The words to put before a command that finds the tap open at TAP_DESCRIPTOR. */
export const tapPrefix = ({ namespacePath, tap }: MachineNetwork): string[] => [
  ...['nsenter', `--net=${namespacePath}`, '--', 'perl', '-e', OPEN_TAP, '--', tap],
  ...['nsenter', `--net=/proc/${process.pid}/ns/net`, '--'],
];
