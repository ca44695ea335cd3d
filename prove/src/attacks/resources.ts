/** More than a sandbox's share: of processes, disk and connections. Bounded, so that no try does harm. */
import type { SandboxAttack } from '../attack.ts';
import { HELD_CONNECTIONS, MANY_PROCESSES } from '../limits.ts';
import { PUBLIC_ADDRESS } from './network.ts';
import { PROCESS_CONTROL } from './world.ts';

const TOO_LARGE_GIB = 9;

export const resourceAttacks = (): SandboxAttack[] => [
  {
    kind: 'sandbox',
    id: 'many-processes',
    class: 'resources',
    title: "fills the host's table of processes",
    expected: "the host has no more processes than the sandbox's own monitor",
    control: PROCESS_CONTROL,
    probes: [
      {
        turn: 'first',
        probe: {
          do: 'script',
          script: `perl -e 'for (1 .. ${2 * MANY_PROCESSES}) { my $child = fork; die unless defined $child; if (!$child) { sleep 3; exit } } 1 while wait > 0;'`,
        },
      },
    ],
    evidence: { by: 'change', name: 'processes' },
  },
  {
    kind: 'sandbox',
    id: 'large-file',
    class: 'resources',
    title: 'takes more disk than its shape has',
    expected: 'its disk is full before',
    control: PROCESS_CONTROL,
    probes: [
      {
        turn: 'first',
        probe: {
          do: 'script',
          script: `fallocate -l ${TOO_LARGE_GIB}G large-file && echo "has ${TOO_LARGE_GIB} GiB"; rm -f large-file`,
        },
      },
    ],
    evidence: { by: 'text', text: 'has ' },
  },
  {
    kind: 'sandbox',
    id: 'many-connections',
    class: 'resources',
    title: 'keeps more connections open than a sandbox may',
    expected: 'those over the limit are refused',
    control: 'a proxy without limits',
    probes: [
      {
        turn: 'first',
        probe: { do: 'hold', target: `${PUBLIC_ADDRESS}:80`, connections: HELD_CONNECTIONS + 20 },
      },
    ],
    evidence: { by: 'change', name: 'connections' },
  },
];
