/**
 * Settings by which the host's kernel runs a program of the attacker's choice, and kernel code itself.
 * They belong to no namespace, so the control writes to stand-ins on the host of the proof, and no job
 * of a driver that shares the real host's kernel tries them.
 */
import type { DevicesAttack, SandboxAttack } from '../attack.ts';
import type { World } from './world.ts';

const CONTROL = 'the same script on the host of the proof, where a file stands for the setting';

/** Which change of a setting the host looks for: its path. */
export const settingChange = (path: string): string => `setting ${path}`;

/** id, what it does, setting, what is written there. */
const SETTINGS: readonly [id: string, what: string, path: string, text: string][] = [
  [
    'core-pattern',
    'sets the program that gets core dumps',
    '/proc/sys/kernel/core_pattern',
    '|/opt/%',
  ],
  ['module-helper', 'sets the program that loads modules', '/proc/sys/kernel/modprobe', '/opt/%'],
  [
    'binary-format',
    'sets a program for a format of executables',
    '/proc/sys/fs/binfmt_misc/register',
    ':%:M::prove-%::/opt/%:',
  ],
  [
    'uevent-helper',
    'sets the program that hears of devices',
    '/sys/kernel/uevent_helper',
    '/opt/%',
  ],
  ['sysrq', "gives the kernel an operator's command", '/proc/sysrq-trigger', 'h %'],
  [
    'release-agent',
    'sets the program that runs when a control group is empty',
    '/sys/fs/cgroup/*/release_agent',
    '/opt/%',
  ],
];

export function kernelAttacks({ mark }: World): (SandboxAttack | DevicesAttack)[] {
  const settings = SETTINGS.map(([id, what, path, text]): SandboxAttack => ({
    kind: 'sandbox',
    id: `kernel-${id}`,
    class: 'escape',
    title: what,
    expected: "it is its own kernel's setting, or none",
    controlOn: 'host',
    control: CONTROL,
    probes: [
      {
        turn: 'first',
        probe: {
          do: 'script',
          script: `for f in ${path}; do echo '${text.replaceAll('%', mark)}' > $f && cat $f; done`,
        },
      },
    ],
    evidence: { by: 'change', name: settingChange(path) },
  }));
  return [
    ...settings,
    {
      kind: 'sandbox',
      id: 'kernel-module-file',
      class: 'escape',
      title: "leaves a module for the host's kernel to load at its next start",
      expected: 'the host has no such module',
      control: 'the driver process, which isolates nothing',
      probes: [
        {
          turn: 'first',
          probe: {
            do: 'script',
            script: `mkdir -p /etc/modules-load.d && echo ${mark} > /etc/modules-load.d/onejob-prove.conf`,
          },
        },
      ],
      evidence: { by: 'change', name: 'module-file' },
    },
    {
      kind: 'sandbox',
      id: 'kernel-module',
      class: 'escape',
      title: "loads code into the host's kernel",
      expected: 'it loads into its own kernel, or not at all',
      control: 'the driver process, which isolates nothing',
      probes: [{ turn: 'first', probe: { do: 'script', script: LOADER } }],
      evidence: { by: 'alike' },
    },
    {
      kind: 'devices',
      id: 'monitor-devices',
      class: 'escape',
      title: 'writes nonsense to the registers of the devices that its monitor emulates',
      expected: 'the monitor takes it, or switches the machine off as it is told to',
      control: 'the same in a machine with a device that ends its monitor at any write',
    },
  ];
}

/**
 * init_module(2) of no module: what may load one is told that this is none (ENOEXEC, 8), and nothing is
 * loaded; everybody else that they may not. Which kernel it was its boot tells.
 */
const LOADER =
  `test "$(uname -m)" = x86_64 && perl -e 'my ($code, $words) = ("onejob-prove", ""); ` +
  `syscall(175, $code, length $code, $words); exit($! != 8)' && cat /proc/sys/kernel/random/boot_id`;
