/** What one job leaves for the next: each place is written by one sandbox and looked at in another. */
import type { SandboxAttack } from '../attack.ts';
import { KEY_SECONDS } from '../limits.ts';
import { addKey, KEYS, PROCESS_CONTROL, readKey, type World } from './world.ts';

/** id, what it is, directory. */
const DIRECTORIES: readonly [id: string, what: string, directory: string][] = [
  ['tmp', 'in /tmp', '/tmp'],
  ['var-tmp', 'in /var/tmp', '/var/tmp'],
  ['shm', 'in shared memory', '/dev/shm'],
  ['home', "in root's home", '/root'],
  ['users', 'in /home', '/home'],
  ['programs', 'among the programs', '/usr/local/bin'],
  ['libraries', 'among the libraries', '/usr/local/lib'],
  ['opt', 'in /opt', '/opt'],
  ['cron', 'among the timed jobs', '/etc/cron.d'],
  ['crontab', "in root's timed jobs", '/var/spool/cron/crontabs'],
  ['profile', 'in what every shell reads', '/etc/profile.d'],
  ['units', 'among the services', '/etc/systemd/system'],
  ['trust', 'among the trusted certificates', '/usr/local/share/ca-certificates'],
  ['var-lib', 'in /var/lib', '/var/lib'],
  ['run', 'in /run', '/run'],
];

/** id, what it is, script that leaves it, script that looks for it. */
const OTHERS = (
  mark: string,
): readonly [id: string, what: string, leave: string, look: string][] => [
  [
    'ssh',
    'a key that may log in',
    `mkdir -p /root/.ssh && echo ${mark} >> /root/.ssh/authorized_keys`,
    'cat /root/.ssh/authorized_keys',
  ],
  [
    'git',
    'a setting of git',
    `git config --system onejob.prove ${mark}`,
    'git config --system onejob.prove',
  ],
  [
    'memory',
    'System V shared memory',
    perl(`my $id = shmget(0x6a0c, 256, 01600); shmwrite($id, "${mark}", 0, 64) or die;`),
    perl('my $id = shmget(0x6a0c, 0, 0); shmread($id, my $text, 0, 64) or exit 1; print $text;'),
  ],
  [
    'queue',
    'a message in a queue',
    perl(`my $id = msgget(0x6a0d, 01600); msgsnd($id, pack("l! a*", 1, "${mark}"), 04000) or die;`),
    perl(
      'my $id = msgget(0x6a0d, 0); msgrcv($id, my $text, 128, 0, 04000) or exit 1; print unpack("x8 a*", $text);',
    ),
  ],
  ['key', 'a key in the kernel', addKey(KEYS.left, mark, KEY_SECONDS), readKey(KEYS.left)],
  [
    'setting',
    'a setting of the kernel',
    `echo ${mark} > /proc/sys/kernel/domainname`,
    'cat /proc/sys/kernel/domainname',
  ],
  [
    'route',
    'a name in the list of hosts',
    `echo "192.0.2.1 ${mark}" >> /etc/hosts`,
    'cat /etc/hosts',
  ],
];

function perl(program: string): string {
  return `perl -e '${program}'`;
}

export function persistenceAttacks({ mark }: World): SandboxAttack[] {
  const files = DIRECTORIES.map(([id, what, directory]): [string, string, string, string] => [
    id,
    `a file ${what}`,
    `mkdir -p ${directory} && echo ${mark} > ${directory}/onejob-prove-left`,
    `cat ${directory}/onejob-prove-left`,
  ]);
  return [...files, ...OTHERS(mark)].map(([id, what, leave, look]) => ({
    kind: 'sandbox',
    id: `left-${id}`,
    class: 'persistence',
    title: `leaves ${what} for the next job`,
    expected: 'the next job does not find it',
    control: PROCESS_CONTROL,
    probes: [
      { turn: 'first', probe: { do: 'script', script: leave } },
      { turn: 'next', probe: { do: 'script', script: look } },
    ],
    evidence: { by: 'text', text: mark },
  }));
}
