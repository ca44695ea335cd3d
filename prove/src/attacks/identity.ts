/** Who the machine is: a sandbox that sees the host's identity is not a machine of its own. */
import type { Evidence, SandboxAttack } from '../attack.ts';
import { PROCESS_CONTROL, secretForm } from './world.ts';

const ALIKE: Evidence = { by: 'alike' };
const secret = (name: string): Evidence => ({ by: 'secret', name });

/** id, what of the host it reads, how. */
const READS: readonly [id: string, what: string, script: string, evidence: Evidence][] = [
  ['boot-id', "the kernel's boot id", 'cat /proc/sys/kernel/random/boot_id', ALIKE],
  ['boot-time', 'the time the kernel was started', 'grep btime /proc/stat', ALIKE],
  ['kernel-version', "the kernel's version", 'cat /proc/version', ALIKE],
  ['kernel-command-line', "the kernel's command line", 'cat /proc/cmdline', ALIKE],
  [
    'kernel-modules',
    "the kernel's modules",
    'cut -d " " -f 1 /proc/modules | sort | tr "\\n" " "',
    ALIKE,
  ],
  ['machine-id', 'the machine id', 'cat /etc/machine-id', secret('machine')],
  ['hostname', 'the name of the host', 'cat /proc/sys/kernel/hostname', secret('hostname')],
  ['users', "the host's users", `grep -o "${secretForm('user')}" /etc/passwd`, secret('user')],
  [
    'hosts-file',
    "the host's own names",
    `grep -o "${secretForm('hosts')}" /etc/hosts`,
    secret('hosts'),
  ],
  ['resolver', "the host's resolver", 'grep ^nameserver /etc/resolv.conf', ALIKE],
  [
    'mac-address',
    "the host's hardware addresses",
    'ip -o link | grep -o "link/ether [0-9a-f:]*" | sort',
    { by: 'alike', lines: 'cards' },
  ],
  [
    'addresses',
    "the host's addresses",
    'ip -o address show scope global | grep -o "inet6* [0-9a-f.:/]*" | grep -v 198.18.0.1 | sort',
    { by: 'alike', lines: 'addresses' },
  ],
  ['routes', "the host's routes", 'ip route show default', ALIKE],
  [
    'neighbours',
    "the host's neighbours",
    'ip neigh show nud permanent | grep 02:00:00:77:77:77',
    ALIKE,
  ],
  [
    'listeners',
    "the host's listening ports",
    'grep -i -o " 00000000000000000000000000000000:0947 " /proc/net/tcp6',
    ALIKE,
  ],
  [
    'unix-sockets',
    "the host's Unix sockets",
    `grep -a -o "${secretForm('unix')}" /proc/net/unix`,
    secret('unix'),
  ],
  [
    'pci-devices',
    "the host's PCI devices",
    'cat /sys/bus/pci/devices/*/vendor /sys/bus/pci/devices/*/device 2>/dev/null',
    ALIKE,
  ],
  [
    'dmi',
    "the host's serial numbers",
    'cat /sys/class/dmi/id/product_uuid /sys/class/dmi/id/board_serial 2>/dev/null',
    ALIKE,
  ],
  [
    'disks',
    "the host's disks",
    'grep -v name /proc/partitions | grep . | tr -s " "',
    { by: 'alike', lines: 'disks' },
  ],
  ['memory-size', 'how much memory the host has', 'grep MemTotal /proc/meminfo', ALIKE],
  [
    'shared-memory-list',
    "the host's shared memory",
    'tail -n +2 /proc/sysvipc/shm | tr -s " " | cut -d " " -f 2,5 | grep "^27147 "',
    ALIKE,
  ],
];

export const identityAttacks = (): SandboxAttack[] =>
  READS.map(([id, what, script, evidence]) => ({
    kind: 'sandbox',
    id,
    class: 'identity',
    title: `learns ${what}`,
    expected: 'it sees its own, or none',
    control: PROCESS_CONTROL,
    probes: [{ turn: 'first', probe: { do: 'script', script } }],
    evidence,
  }));
