/**
 * How build steps act as root: with mounts, device nodes and files of other owners.
 *
 * Each such step has mount and process namespaces of its own. So nothing it mounts is ever seen
 * outside (a build that was killed must not leave the host's /sys or /dev in a directory that is
 * removed later), and all its processes end with it, at once. Without root a user namespace with the
 * ranges of /etc/subuid stands in; both ways give the same bytes.
 */
import { ImageError } from './errors.ts';
import type { RunTool } from './tool.ts';

export type Privilege = 'root' | 'unshare';

export function currentPrivilege(): Privilege {
  return process.getuid?.() === 0 ? 'root' : 'unshare';
}

/** Puts a command into namespaces where it may act as root, and which die with this process. */
export function asRoot(
  privilege: Privilege,
  command: readonly [string, ...string[]],
): [string, ...string[]] {
  const contained = ['unshare', '--mount', '--pid', '--fork', '--kill-child', '--mount-proc', '--'];
  // entering a user namespace clears the parent-death signal, so it is set again inside
  const inUserNamespace = ['unshare', '--map-auto', '--map-root-user', '--'];
  const entry = privilege === 'root' ? [] : [...inUserNamespace, ...DIE_WITH_PARENT];
  const [first = '', ...rest] = [...entry, ...contained, ...command];
  return [first, ...rest];
}

/** Command words that make the following command end when the process that starts it does. */
export const DIE_WITH_PARENT: readonly [string, ...string[]] = [
  'setpriv',
  '--pdeathsig',
  'KILL',
  '--',
];

/** Tries the namespaces and says what is missing. */
export async function requirePrivilege(privilege: Privilege, run: RunTool): Promise<void> {
  await run({ step: 'tools', command: asRoot(privilege, ['true']) }).catch((cause: unknown) => {
    const message =
      privilege === 'root'
        ? 'building the guest image needs mount namespaces, which this host refuses to root; ' +
          'in a container, give it the capability SYS_ADMIN'
        : 'building the guest image without root needs a user namespace with subordinate ids; as ' +
          'root: apt-get install --no-install-recommends uidmap, then usermod --add-subuids ' +
          '100000-165535 --add-subgids 100000-165535 for this user; or build as root';
    throw new ImageError('image_tool_missing', message, { cause });
  });
}

/**
 * Removes a tree of a build, whoever owns its files. Never enters another file system: what is
 * mounted in there is not ours to remove.
 */
export async function removeTree(privilege: Privilege, run: RunTool, path: string): Promise<void> {
  const command = ['rm', '-rf', '--one-file-system', '--', path] as const;
  await run({ step: 'finish', command: asRoot(privilege, command) });
}
