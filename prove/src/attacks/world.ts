/**
 * What attacks know of the host they attack. An attacker is given every name and place; what is at a
 * place, only the host knows.
 */

import type { NetworkMode } from '@onejob/protocol';
import { SECRET_BYTES } from '../limits.ts';

export type World = {
  /** Which try: with the defences, or as a control. */
  side: 'sandbox' | 'control';
  /** What the machines under proof have of one. */
  network: NetworkMode;
  /** Of the platform that runs the proof. */
  dataDirectory: string;
  /** Says which try made something: of the sandbox, or of the control. */
  mark: string;
  /** Of the host's disk; undefined: it has none that can be read. */
  disk: { major: number; minor: number } | undefined;
};

/** Where the host keeps what attacks look for, in a root directory of the proof's own. */
export const HOST_PLACE = '/opt/onejob-prove';
/** Where files are made without number. */
export const FILE_FLOOD = `${HOST_PLACE}/flood`;
/** The kernel's own settings as they are on the real host, where nobody can write them. */
export const REAL_PROC = '/run/onejob-prove-proc';
/**
 * Files that steer the host's kernel for everybody. The host of a proof has ordinary files in their
 * place, those of them that the real one has: what is written there is seen, and changes nothing.
 */
export const STAND_INS = [
  '/proc/sys/kernel/core_pattern',
  '/proc/sys/kernel/modprobe',
  '/proc/sys/fs/binfmt_misc/register',
  '/proc/sysrq-trigger',
  '/sys/kernel/uevent_helper',
  '/sys/fs/cgroup/onejob-prove/release_agent',
] as const;
/** A Unix socket without a file. */
export const ABSTRACT_SOCKET = '@onejob-prove';
/** Keys of the host's System V shared memory and message queue. */
export const IPC_KEY = 0x6a0b;

/** Sockets whose owners give away a host, with what each is. */
export const HOST_SOCKETS = {
  docker: { path: '/run/docker.sock', what: "Docker's socket" },
  containerd: { path: '/run/containerd/containerd.sock', what: "containerd's socket" },
  podman: { path: '/run/podman/podman.sock', what: "Podman's socket" },
  crio: { path: '/run/crio/crio.sock', what: "CRI-O's socket" },
  libvirt: { path: '/run/libvirt/libvirt-sock', what: "libvirt's socket" },
  dbus: { path: '/run/dbus/system_bus_socket', what: 'the system bus' },
  systemd: { path: '/run/systemd/private', what: "systemd's private socket" },
} as const;

/** Files with credentials that hosts have, with what each is. */
export const HOST_CREDENTIALS = {
  'ssh-key': { path: '/root/.ssh/id_ed25519', what: "an SSH key of the host's root" },
  'ssh-host-key': { path: '/etc/ssh/ssh_host_ed25519_key', what: "the host's SSH key" },
  aws: { path: '/root/.aws/credentials', what: 'credentials of AWS' },
  gcloud: {
    path: '/root/.config/gcloud/application_default_credentials.json',
    what: 'credentials of Google Cloud',
  },
  docker: { path: '/root/.docker/config.json', what: 'credentials of container registries' },
  kube: { path: '/root/.kube/config', what: 'the configuration of a cluster' },
  kubelet: { path: '/var/lib/kubelet/pki/kubelet-client-current.pem', what: "a node's key" },
  'service-account': {
    path: '/var/run/secrets/kubernetes.io/serviceaccount/token',
    what: "the token of a pod's service account",
  },
  shadow: { path: '/etc/shadow', what: "the host's passwords" },
  netrc: { path: '/root/.netrc', what: 'passwords of servers' },
} as const;

/** A value of the host's: recognised in any output by its form, which this form itself does not have. */
export const secretForm = (name: string): string =>
  `prove-${name}-[0-9a-f]\\{${2 * SECRET_BYTES}\\}`;

/** What a probe says that could not look where it has to: it shows nothing then. */
export const CANNOT_LOOK = 'onejob-prove cannot look: ';

/**
 * Runs a script with the /proc that the job has, and once more where that is taken away, if the job may
 * do that: a process that only has a /proc of its own on top of the host's looks at the host's then.
 */
export const underProc = (script: string): string =>
  `set -- /proc/[0-9]*; echo "processes in /proc: $#" >&2; sh -c '${script}'; ` +
  `if unshare --mount true 2>/dev/null; then unshare --mount sh -c 'umount -l /proc 2>/dev/null; ${script}'; fi`;

export const PROCESS_CONTROL = 'the driver process, which isolates nothing';

/** Names of keys in the kernel: the host's, and what a job leaves. */
export const KEYS = { host: 'onejob-prove', left: 'onejob-prove-left' } as const;

/**
 * The kernel's keys (keyrings(7)) by number of the system call, as no tool for them is on every machine:
 * add_key is 248 and keyctl 250 on x86-64; -4 is the user's keyring.
 */
export const addKey = (name: string, value: string, seconds: number): string =>
  `perl -e 'my ($type, $name, $value) = ("user", "${name}", "${value}"); ` +
  'my $id = syscall(248, $type, $name, $value, length $value, -4); die "$!" if $id < 0; ' +
  `syscall(250, 15, $id, ${seconds}) == 0 or die "$!";'`;

const findKey = (name: string): string =>
  `my ($type, $name) = ("user", "${name}"); my $id = syscall(250, 10, -4, $type, $name, 0); ` +
  'die "$!" if $id < 0; ';

export const readKey = (name: string): string =>
  `perl -e '${findKey(name)}my $value = " " x 256; ` +
  'my $length = syscall(250, 11, $id, $value, 256); die "$!" if $length < 0; ' +
  "print substr($value, 0, $length);'";

export const removeKey = (name: string): string =>
  `perl -e '${findKey(name)}syscall(250, 9, $id, -4) == 0 or die "$!";'`;
