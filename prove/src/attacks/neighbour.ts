/** Another sandbox that runs at the same time: what one job reaches of the other. */
import type { Probe, SandboxAttack } from '../attack.ts';
import { PROCESS_CONTROL, secretForm, underProc } from './world.ts';

/** The name of the value that only the neighbour has. */
export const NEIGHBOUR = 'neighbour';
const PORT = 47110;
const FILE = '/tmp/onejob-prove-neighbour';
const SOCKET = 'onejob-prove-neighbour';
const MEMORY = 0x6a0e;

/** What the neighbour does: it shows its value everywhere, says `ready`, and stays. */
export const neighbourScript = (value: string): string => `perl -e '
  my $value = "${value}";
  $0 = $value;
  open(my $file, ">", "${FILE}") or die "file $!"; print $file $value; close $file;
  my $id = shmget(${MEMORY}, 64, 01600); shmwrite($id, $value, 0, 64) or die "memory $!";
  socket(T, 2, 1, 6); setsockopt(T, 1, 2, pack("i", 1));
  bind(T, pack("S n a4 x8", 2, ${PORT}, "\\0" x 4)) or die "port $!"; listen(T, 5);
  socket(U, 1, 1, 0); bind(U, pack("S", 1) . "\\0${SOCKET}") or die "socket $!"; listen(U, 5);
  $| = 1; print "ready\\n";
  while (1) {
    my $ready = ""; vec($ready, fileno($_), 1) = 1 for (*T, *U);
    select($ready, undef, undef, undef);
    for my $from (*T, *U) {
      next unless vec($ready, fileno($from), 1);
      accept(my $peer, $from); send($peer, "$value\\n", 0); close $peer;
    }
  }'`;

export function neighbourAttacks(): SandboxAttack[] {
  const tries: readonly [id: string, title: string, probe: Probe][] = [
    [
      'port',
      'reaches a port of another sandbox',
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
  return tries.map(([id, title, probe]) => ({
    kind: 'sandbox',
    id: `neighbour-${id}`,
    class: 'escape',
    title,
    expected: 'nothing of the other one is there',
    control: `${PROCESS_CONTROL}, for both`,
    probes: [{ turn: 'first', probe }],
    evidence: { by: 'secret', name: NEIGHBOUR },
  }));
}
