/** Ways out of the sandbox: the host's files, processes, sockets, memory, devices and settings. */
import type { Evidence, SandboxAttack } from '../attack.ts';
import {
  ABSTRACT_SOCKET,
  CANNOT_LOOK,
  HOST_PLACE,
  HOST_SOCKETS,
  IPC_KEY,
  KEYS,
  PROCESS_CONTROL,
  readKey,
  secretForm,
  underProc,
  type World,
} from './world.ts';

type Try = { id: string; title: string; expected: string; script: string; evidence: Evidence };

const asAttack = ({ id, title, expected, script, evidence }: Try): SandboxAttack => ({
  kind: 'sandbox',
  id,
  class: 'escape',
  title,
  expected,
  control: PROCESS_CONTROL,
  probes: [{ turn: 'first', probe: { do: 'script', script } }],
  evidence,
});

const secret = (name: string): Evidence => ({ by: 'secret', name });
const change = (name: string): Evidence => ({ by: 'change', name });
const NOT_THERE = 'the file is not there';
const OWN_PROCESSES = "only the machine's own processes are there";

export function escapeAttacks(world: World): SandboxAttack[] {
  return [
    ...files(world),
    ...processes(),
    ...memory(),
    ...settings(world),
    ...devices(world),
    ...Object.entries(HOST_SOCKETS).map(([name, { path, what }]) =>
      socket(`socket-${name}`, path, `connects to ${what}`, secret(`socket-${name}`)),
    ),
    socket(
      'socket-abstract',
      ABSTRACT_SOCKET,
      'connects to an abstract socket of the host',
      secret('socket-abstract'),
    ),
    ...['api.sock', 'agent.sock'].map((name) =>
      socket(
        `socket-platform-${name.split('.')[0]}`,
        `${world.dataDirectory}/${name}`,
        `connects to the platform's ${name}`,
        { by: 'text', text: 'connected' },
      ),
    ),
  ].flat();
}

function socket(id: string, path: string, title: string, evidence: Evidence): SandboxAttack {
  return {
    kind: 'sandbox',
    id,
    class: 'escape',
    title,
    expected: 'there is no such socket',
    control: PROCESS_CONTROL,
    probes: [{ turn: 'first', probe: { do: 'socket', path, ask: 'GET / HTTP/1.0\r\n\r\n' } }],
    evidence,
  };
}

const files = ({ mark }: World): SandboxAttack[] =>
  [
    {
      id: 'file-read',
      title: 'reads a file of the host',
      expected: NOT_THERE,
      script: `cat ${HOST_PLACE}/file`,
      evidence: secret('file'),
    },
    {
      id: 'file-write',
      title: 'writes a file on the host',
      expected: 'the host has no such file',
      script: `mkdir -p ${HOST_PLACE} && echo ${mark} > ${HOST_PLACE}/written`,
      evidence: change('written'),
    },
    {
      id: 'file-change',
      title: 'adds a line to a file of the host',
      expected: "the host's file is as it was",
      script: `echo ${mark} >> ${HOST_PLACE}/appended`,
      evidence: change('appended'),
    },
    {
      id: 'mounts',
      title: 'sees what is mounted on the host',
      expected: 'only its own mounts are there',
      script: `grep -o "${secretForm('mount')}" /proc/self/mountinfo`,
      evidence: secret('mount'),
    },
    {
      id: 'root-of-process',
      title: 'reads a file through the root of a process of the host',
      expected: OWN_PROCESSES,
      script: underProc(`cat /proc/[0-9]*/root${HOST_PLACE}/file 2>/dev/null`),
      evidence: secret('file'),
    },
  ].map(asAttack);

/** The canary: a process of the host with a value in its name, environment and an open file. */
const processes = (): SandboxAttack[] =>
  [
    {
      id: 'process-list',
      title: 'sees processes of the host',
      script: underProc(
        `cat /proc/[0-9]*/cmdline | tr "\\0" "\\n" | grep -a -o "${secretForm('canary')}"`,
      ),
      evidence: secret('canary'),
    },
    {
      id: 'process-environment',
      title: 'reads the environment of a process of the host',
      script: underProc(
        `cat /proc/[0-9]*/environ 2>/dev/null | grep -a -o "${secretForm('environment')}"`,
      ),
      evidence: secret('environment'),
    },
    {
      id: 'process-descriptor',
      title: 'reads a deleted file that a process of the host has open',
      script: underProc(
        'for p in /proc/[0-9]*; do case $(readlink $p/fd/9) in */canary-*) cat $p/fd/9;; esac; done',
      ),
      evidence: secret('descriptor'),
    },
    {
      id: 'process-memory',
      title: 'reads the memory of a process of the host',
      script: underProc(
        'for p in /proc/[0-9]*; do grep -q -a prove-canary- $p/cmdline 2>/dev/null || continue; ' +
          'range=$(grep -F "[stack]" $p/maps | cut -d " " -f 1); ' +
          'from=$((0x${range%-*} / 4096)); to=$((0x${range#*-} / 4096)); ' +
          'dd if=$p/mem bs=4096 skip=$from count=$((to - from)) 2>/dev/null | ' +
          `grep -a -o "${secretForm('environment')}"; done`,
      ),
      evidence: secret('environment'),
    },
    {
      id: 'process-setting',
      title: 'changes a setting of a process of the host',
      script: underProc(
        'for p in /proc/[0-9]*; do grep -q -a prove-canary- $p/cmdline 2>/dev/null && ' +
          'echo 321 > $p/oom_score_adj; done; true',
      ),
      evidence: change('process-setting'),
    },
  ].map((one) => asAttack({ expected: OWN_PROCESSES, ...one }));

const perl = (program: string): string => `perl -e '${program}'`;

const memory = (): SandboxAttack[] =>
  [
    {
      id: 'memory-shared',
      title: "reads the host's System V shared memory",
      script: perl(
        `my $id = shmget(${IPC_KEY}, 0, 0); exit 1 unless defined $id; ` +
          'my $text; shmread($id, $text, 0, 64) or exit 1; print $text;',
      ),
      evidence: secret('memory'),
    },
    {
      id: 'memory-queue',
      title: "takes a message of the host's System V queues",
      script: perl(
        `my $id = msgget(${IPC_KEY}, 0); exit 1 unless defined $id; ` +
          'my $text; msgrcv($id, $text, 64, 0, 04000) or exit 1; print unpack("x8 a*", $text);',
      ),
      evidence: secret('queue'),
    },
    {
      id: 'memory-file',
      title: "reads the host's POSIX shared memory",
      script: 'cat /dev/shm/onejob-prove',
      evidence: secret('shm'),
    },
    {
      id: 'memory-key',
      title: "reads a key of the host's kernel",
      script: readKey(KEYS.host),
      evidence: secret('key'),
    },
  ].map((one) => asAttack({ expected: 'there is none', ...one }));

const settings = ({ mark }: World): SandboxAttack[] =>
  [
    {
      id: 'set-hostname',
      title: 'renames the host',
      script: 'echo prove-renamed > /proc/sys/kernel/hostname',
      evidence: change('hostname'),
    },
    {
      id: 'set-domain',
      title: "changes the host's domain",
      script: `echo ${mark} > /proc/sys/kernel/domainname`,
      evidence: change('domainname'),
    },
    {
      id: 'set-network',
      title: "changes a setting of the host's network",
      script: 'echo 7 > /proc/sys/net/ipv4/tcp_keepalive_probes',
      evidence: change('network-setting'),
    },
    {
      id: 'set-messages',
      title: "changes a limit of the host's shared memory",
      script: 'echo 77 > /proc/sys/kernel/shmmni',
      evidence: change('memory-setting'),
    },
    {
      id: 'set-route',
      title: "adds a route to the host's network",
      script: 'ip route add blackhole 192.0.2.77/32',
      evidence: change('route'),
    },
    {
      id: 'cgroup-create',
      title: "makes a control group of the host's",
      script: `for d in /sys/fs/cgroup /sys/fs/cgroup/*/; do mkdir "$d/onejob-prove-${mark}" 2>/dev/null; done; true`,
      evidence: change('cgroup'),
    },
  ].map((one) => asAttack({ expected: 'the host is as it was', ...one }));

function devices({ disk }: World): SandboxAttack[] {
  const byNumber =
    disk === undefined
      ? []
      : [
          {
            id: 'disk-by-number',
            title: "reads the host's disk through a device file of its own making",
            expected: 'that number is a disk of its own, or none',
            script: readDisk(disk),
            evidence: { by: 'alike' } as const,
          },
        ];
  return [
    ...byNumber,
    {
      id: 'devices',
      title: "sees the host's device files",
      expected: 'only its own devices are there',
      script: LIST_DEVICES,
      evidence: secret('device'),
    },
    {
      id: 'device-change',
      title: 'closes a device file of the host to others',
      expected: "the host's device file is as it was",
      script: 'chmod 640 /dev/full',
      evidence: change('device'),
    },
    {
      id: 'kernel-symbols',
      title: "reads where the host's kernel has its code",
      expected: 'it sees its own kernel',
      script: 'head -c 200000 /proc/kallsyms | grep . | sha256sum | grep -v ^e3b0c442',
      evidence: { by: 'alike' } as const,
    },
    {
      id: 'kernel-log',
      title: "reads the log of the host's kernel",
      expected: 'it sees the log of its own kernel',
      script: 'dmesg | head -n 20 | grep . | sha256sum | grep -v ^e3b0c442',
      evidence: { by: 'alike' } as const,
    },
  ].map(asAttack);
}

/** By their names: a sandbox may have many that a host has, too, and `ls` asks some kernels too much. */
const LIST_DEVICES =
  `set -- /dev/*; test "$*" != "/dev/*" || echo "${CANNOT_LOOK}/dev shows nothing" >&2; ` +
  `echo "device files: $#" >&2; printf "%s\\n" "$@" | grep -o "${secretForm('device')}"`;

/** The place where ext2 to ext4 keep the name of the file system; zeros are no answer. */
const readDisk = ({ major, minor }: { major: number; minor: number }): string =>
  `d=$(mktemp -u); mknod $d b ${major} ${minor} && ` +
  'dd if=$d bs=1 skip=1128 count=16 2>/dev/null | od -A n -t x1 | grep -v "^ \\(00 *\\)*$"; rm -f $d';
