/** More than a sandbox's share: of processes, memory, disk, log and connections. Bounded, so that no try does harm. */
import type { Probe, SandboxAttack, Turn } from '../attack.ts';
import {
  HELD_CONNECTIONS,
  LARGE_FILE_GIB,
  LONG_ROW_CHARACTERS,
  MANY_FILES,
  MANY_PROCESSES,
  MUCH_MEMORY_MIB,
} from '../limits.ts';
import { PUBLIC_ADDRESS } from './network.ts';
import { FILE_FLOOD, PROCESS_CONTROL } from './world.ts';

type Try = Omit<SandboxAttack, 'kind' | 'class' | 'probes' | 'control'> & {
  control?: string;
  turn?: Turn;
  probe: Probe;
};

const asAttack = ({
  probe,
  turn = 'first',
  control = PROCESS_CONTROL,
  ...rest
}: Try): SandboxAttack => ({
  kind: 'sandbox',
  class: 'resources',
  control,
  probes: [{ turn, probe }],
  ...rest,
});

const script = (text: string): Probe => ({ do: 'script', script: text });

export const resourceAttacks = (): SandboxAttack[] => [...ofHost(), ...ofPlatform()].map(asAttack);

const ofHost = (): Try[] => [
  {
    id: 'many-processes',
    title: "fills the host's table of processes",
    expected: "the host has no more processes than the sandbox's own monitor",
    probe: script(
      `perl -e 'for (1 .. ${2 * MANY_PROCESSES}) { my $child = fork; die unless defined $child; if (!$child) { sleep 3; exit } } 1 while wait > 0;'`,
    ),
    evidence: { by: 'change', name: 'processes' },
  },
  {
    id: 'large-file',
    title: "takes more of the host's disk than its shape has",
    expected: "its own disk is full before, or is none of the host's",
    probe: script(`fallocate -l ${LARGE_FILE_GIB}G large-file && sleep 1; rm -f large-file`),
    evidence: { by: 'change', name: 'disk' },
  },
  {
    id: 'much-memory',
    title: 'takes more memory than its shape has',
    expected: 'who asks for it is stopped, or its whole machine',
    controlOn: 'host',
    control: 'the same script on the host of the proof, without a shape',
    turn: 'alone',
    // Who takes it is the first to be killed, and no other.
    probe: script(
      `(echo 1000 > /proc/self/oom_score_adj; exec perl -e 'my @m; for (1 .. ${MUCH_MEMORY_MIB / 16}) { push @m, "x" x 16777216 } print "has ${MUCH_MEMORY_MIB} MiB"')`,
    ),
    evidence: { by: 'text', text: 'has ' },
  },
  {
    id: 'many-files',
    title: "takes the host's inodes with small files",
    expected: 'the files are in its own file system',
    probe: script(
      `mkdir -p ${FILE_FLOOD} && cd ${FILE_FLOOD} && perl -e 'for (1 .. ${MANY_FILES}) { open(my $f, ">", $_) or die "$_: $!" } print "made them"'`,
    ),
    evidence: { by: 'change', name: 'files' },
  },
];

const ofPlatform = (): Try[] => [
  {
    id: 'endless-line',
    title: 'prints a line that is longer than a row of the log',
    expected: 'the log has it in rows',
    controlOn: 'host',
    control: 'the same script on the host of the proof, its output taken as it is',
    probe: {
      do: 'print',
      script: `head -c ${4 * LONG_ROW_CHARACTERS} /dev/zero | tr '\\0' x`,
    },
    evidence: { by: 'row', characters: LONG_ROW_CHARACTERS },
  },
  {
    id: 'many-connections',
    title: 'keeps more connections open than a sandbox may',
    expected: 'those over the limit are refused',
    control: 'a proxy without limits',
    probe: { do: 'hold', target: `${PUBLIC_ADDRESS}:80`, connections: HELD_CONNECTIONS + 20 },
    evidence: { by: 'change', name: 'connections' },
  },
];
