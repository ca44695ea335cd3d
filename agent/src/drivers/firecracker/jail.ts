/**
 * How Firecracker is started: by its jailer (docs/jailer.md of Firecracker), which gives it a root
 * directory, a user without rights and limits of files; around that, namespaces of ours.
 *
 *     unshare -> /bin/sh, the first process of its namespaces -> files bound into the jail
 *       -> jailer -> chroot, network namespace, user -> firecracker
 *
 * - The shell stays, as root: it dies with `unshare`, which dies with us, and all others with it. The
 *   jailer forgets its parent's death when it changes its user, and with `--new-pid-ns` it would end at
 *   once and leave Firecracker to nobody; its documentation names a PID namespace of the caller's as
 *   the other way.
 * - Files of the machine are bound, not linked: images lie on other file systems. What is bound is seen
 *   in the jail alone, since the jailer takes mounts below its root along, and gone with its namespace.
 * - The control group is ours, entered before: that is how the reaper finds it. So the jailer is told
 *   the host's version and gets no group to make.
 */
import { chmod, chown, mkdir, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { SandboxId } from '@onejob/protocol';
import { checkReadable, type JailFile } from '../../host/jail.ts';
import { OPEN_FILES } from './config.ts';

export type JailedFirecracker = {
  jailerPath: string;
  /** As it is after all links: the jailer names a directory after it. */
  firecrackerPath: string;
  cgroupVersion: 1 | 2;
  sandboxId: SandboxId;
  /** Made here; whoever removes it removes all of the jail. */
  baseDirectory: string;
  user: number;
  files: readonly JailFile[];
  /** Path of the network namespace to join; undefined: an empty one. */
  networkNamespace: string | undefined;
  /** Bytes that no file of the machine outgrows. */
  largestFileBytes: number;
};

/** `<chroot_base>/<exec_file_name>/<id>/root` (docs/jailer.md, "Jailer Operation"). */
export const jailRoot = (
  jail: Pick<JailedFirecracker, 'baseDirectory' | 'firecrackerPath' | 'sandboxId'>,
): string => join(jail.baseDirectory, basename(jail.firecrackerPath), jail.sandboxId, 'root');

/** Arguments: the jail's root, then access, source and target of each file, `--`, the command. */
const SCRIPT = `
PATH=/usr/sbin:/usr/bin:/sbin:/bin
set -e
root=$1
shift
while [ "$1" != -- ]; do
  mount -n --no-canonicalize -o "bind,$1" "$2" "$root$3"
  shift 3
done
shift
unset PWD OLDPWD
set +e
"$@" < /dev/null
exit $?
`;

/** Lays the jail's root out; answers the words that start Firecracker in it, with these arguments. */
export async function furnishJail(
  jail: JailedFirecracker,
  args: readonly string[],
): Promise<string[]> {
  const root = jailRoot(jail);
  for (const file of jail.files) await checkReadable(file, true);
  await mkdir(root, { recursive: true, mode: 0o700 });
  for (const { target } of jail.files) {
    await mkdir(dirname(join(root, target)), { recursive: true });
    await writeFile(join(root, target), '');
  }
  await chown(root, jail.user, jail.user);
  await chmod(root, 0o700);
  return [...namespaceWords(jail), ...bindWords(jail, root), ...jailerWords(jail), '--', ...args];
}

const namespaceWords = ({ networkNamespace }: JailedFirecracker): string[] => [
  ...['unshare', '--mount', '--propagation', 'private', '--ipc', '--uts', '--pid', '--fork'],
  ...['--kill-child=KILL', '--mount-proc', ...(networkNamespace === undefined ? ['--net'] : [])],
  '--',
];

const bindWords = ({ files }: JailedFirecracker, root: string): string[] => [
  ...['/bin/sh', '-c', SCRIPT, 'sh', root],
  ...files.flatMap(({ access, source, target }) => [
    `${access === 'read' ? 'ro' : 'rw'},nosuid,nodev,noexec`,
    source,
    target,
  ]),
  '--',
];

/** The jailer's command line (docs/jailer.md, "Jailer Usage"), without Firecracker's own words. */
export function jailerWords(jail: JailedFirecracker): string[] {
  const { networkNamespace } = jail;
  return [
    ...[jail.jailerPath, '--id', jail.sandboxId, '--exec-file', jail.firecrackerPath],
    ...['--uid', String(jail.user), '--gid', String(jail.user)],
    ...['--chroot-base-dir', jail.baseDirectory],
    ...['--cgroup-version', String(jail.cgroupVersion)],
    ...(networkNamespace === undefined ? [] : ['--netns', networkNamespace]),
    ...['--resource-limit', `fsize=${jail.largestFileBytes}`],
    ...['--resource-limit', `no-file=${OPEN_FILES}`],
  ];
}
