/**
 * A place for a program that may be taken over: its own mount, PID, IPC, UTS and network namespaces
 * (no interface, not even a loopback that is up), a root directory with the files it needs and no
 * other, and no capability, now or after any exec. Where we are root it is also another user's, else
 * our own in a user namespace. What Firecracker's jailer does, with the tools of util-linux.
 *
 *     prlimit -> unshare -> mounts of a table -> pivot_root -> the old root unmounted -> setpriv -> program
 *
 * Bubblewrap would do it too, but changes the user only inside of a user namespace, and so cannot
 * reach files below directories that are closed to that user: images below a home of 0700.
 *
 * All of it goes with its processes: mounts and namespaces have no name on the host. The program
 * dies with us: the signal of a parent's death is asked for last, since a change of user forgets it.
 */
import { chmod, mkdir, stat, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { AgentError } from '../errors.ts';
import { findTool, runTool } from './short-tool.ts';
import type { SupervisedProcess } from './supervised-process.ts';

export type Jail = {
  /** `user`: may become another user (we are root); `namespaces`: our own, mapped. */
  level: 'user' | 'namespaces';
  program: string;
  /** Of the host, seen at the same path, read only. */
  system: readonly { path: string; isDirectory: boolean }[];
  tools: Readonly<Record<(typeof TOOLS)[number], string>>;
  loader: string;
  libraryDirectories: readonly string[];
};

/** A file of the host, and where the program sees it. */
export type JailFile = { source: string; target: string; access: 'read' | 'write' };

const TOOLS = ['prlimit', 'unshare', 'mount', 'pivot_root', 'setpriv', 'umount'] as const;
const NAMESPACES = ['--mount', '--pid', '--ipc', '--uts', '--net', '--fork', '--kill-child=KILL'];
/** For the old root while it is left, for /proc until then, and for what is in memory. */
const OWN_DIRECTORIES = ['/old', '/proc', '/run'] as const;
const DEVICES = ['/dev/null', '/dev/zero', '/dev/urandom'] as const;
/** Where the program finds what it was given on standard input: in memory, gone with it. */
export const JAIL_SECRET_PATH = '/run/secret';
/** Where the program finds its own open files, which it cannot open by any other name. */
export const JAIL_DESCRIPTORS_PATH = '/run/fd';
/** A page for the secret, one for a device. */
const RUN_BYTES = 64 * 1024;
/** The loader lists libraries in some milliseconds. */
const LIST_TIMEOUT_MS = 10_000;

/**
 * $1: the jail's directory, $2: the dynamic loader, $3: where umount's libraries are then, $4:
 * umount, $5: the user that gets /dev/kvm, or nothing, $6: whether the program sees its own open
 * files; then what is run at the end. `umount` is run out of the root that it unmounts, and /proc is
 * there for it alone. What the shell is, as /proc counts, becomes the program.
 */
const SCRIPT = `
PATH=/usr/sbin:/usr/bin:/sbin:/bin
set -e
ulimit -c 0
IFS= read -r secret || :
mount -n -a -T "$1/mounts"
cd "$1/root"
(umask 0333; printf %s "$secret" > run/secret)
if [ -n "$5" ]; then mknod -m 600 run/kvm c 10 232; chown "$5:$5" run/kvm; fi
if [ -n "$6" ]; then
  read -r pid rest < /proc/self/stat
  mkdir run/fd
  mount -n --bind "/proc/$pid/fd" run/fd
fi
{ echo sandbox > /proc/sys/kernel/hostname; } 2> /dev/null || :
pivot_root . old
"$2" --library-path "$3" "$4" -n -l /old /proc
cd /
shift 6
unset PWD OLDPWD
exec "$@" < /dev/null
`;

/**
 * What a program needs of this host to run.
 * @param parts what it loads by itself: modules, directories of data; those that are there are seen
 */
export async function findJail(program: string, parts: readonly string[]): Promise<Jail> {
  const found = await Promise.all(TOOLS.map(findTool));
  const missing = TOOLS.filter((_, index) => found[index] === undefined);
  const ldd = await findTool('ldd');
  if (missing.length > 0 || ldd === undefined) {
    const names = [...missing, ...(ldd === undefined ? ['ldd'] : [])].join(', ');
    throw new AgentError('tool_missing', `not installed: ${names} (util-linux, mount, libc-bin)`);
  }
  const tools = Object.fromEntries(TOOLS.map((name, index) => [name, found[index]]));
  const { setpriv, umount } = tools as Jail['tools'];
  const present = await Promise.all(parts.map(kindOf));
  const data = parts.flatMap((path, index) => {
    const kind = present[index];
    return kind === undefined ? [] : [{ path, isDirectory: kind === 'directory' }];
  });
  const modules = data.filter(({ path }) => path.endsWith('.so')).map(({ path }) => path);
  const needed = await listLibraries(ldd, [program, setpriv, ...modules]);
  const unmounting = await listLibraries(ldd, [umount]);
  const files = new Set([program, setpriv, ...needed.libraries, needed.loader]);
  return {
    level: process.getuid?.() === 0 ? 'user' : 'namespaces',
    program,
    system: [...data, ...[...files].map((path) => ({ path, isDirectory: false }))],
    tools: tools as Jail['tools'],
    loader: needed.loader,
    libraryDirectories: [...new Set(unmounting.libraries.map(dirname))],
  };
}

const kindOf = async (path: string): Promise<'directory' | 'file' | undefined> =>
  await stat(path).then(
    (found) => (found.isDirectory() ? 'directory' : 'file'),
    () => undefined,
  );

async function listLibraries(
  ldd: string,
  programs: readonly string[],
): Promise<{ libraries: string[]; loader: string }> {
  const result = await runTool(ldd, programs, { timeoutMs: LIST_TIMEOUT_MS });
  const loader = /^\s+(\/\S+) \(0x/m.exec(result.standardOutput)?.[1];
  if (result.exitCode !== 0 || loader === undefined) {
    throw new AgentError(
      'driver_unavailable',
      `the libraries of ${programs[0]} cannot be listed: ${result.standardError.trim() || 'ldd names no loader'}`,
    );
  }
  const libraries = [...result.standardOutput.matchAll(/ => (\/\S+) \(0x/g)].map(
    ([, path = '']) => path,
  );
  return { libraries: [...new Set(libraries)], loader };
}

export type JailUse = {
  /** Made here; whoever removes it removes all that is on a disk. */
  directory: string;
  files: readonly JailFile[];
  /** For level `user`: who the program is, its own group included. */
  user: number | undefined;
  /** Give it /dev/kvm. */
  kvm: boolean;
  /** No file that it writes gets longer, those in memory included: it would fill the host's disk. */
  largestFileBytes: number;
  /** Show it the files that it was given open, and itself opens: at JAIL_DESCRIPTORS_PATH. */
  descriptors?: boolean;
};

/** Lays the root directory out; answers the words that start the program in it. */
export async function furnishJail(
  jail: Jail,
  use: JailUse,
  args: readonly string[],
): Promise<string[]> {
  for (const file of use.files) await checkReadable(file, use.user !== undefined);
  const root = join(use.directory, 'root');
  const isNode = use.kvm && jail.level === 'user';
  const devices = [...DEVICES, ...(use.kvm && !isNode ? ['/dev/kvm'] : [])];
  const files = [
    ...jail.system.filter(({ isDirectory }) => !isDirectory).map(({ path }) => path),
    ...devices,
    ...use.files.map(({ target }) => target),
  ];
  const directories = jail.system.filter(({ isDirectory }) => isDirectory).map(({ path }) => path);
  await mkdir(use.directory, { recursive: true, mode: 0o700 });
  for (const path of withParents([...files.map(dirname), ...directories, ...OWN_DIRECTORIES])) {
    await mkdir(join(root, path));
    await chmod(join(root, path), 0o755); // whatever our umask is
  }
  await Promise.all(files.map(async (path) => await writeFile(join(root, path), '')));
  if (isNode) await symlink('/run/kvm', join(root, 'dev/kvm'));
  await writeFile(join(use.directory, 'mounts'), mountTable(jail, { ...use, root, devices }));
  const userWords =
    use.user === undefined ? [] : [`--reuid=${use.user}`, `--regid=${use.user}`, '--clear-groups'];
  return [
    ...[jail.tools.prlimit, `--fsize=${use.largestFileBytes}`, '--'],
    ...[jail.tools.unshare, ...(jail.level === 'user' ? [] : ['--user', '--map-root-user'])],
    ...[...NAMESPACES, '--', '/bin/sh', '-c', SCRIPT, 'sh', use.directory, jail.loader],
    ...[jail.libraryDirectories.map((path) => `/old${path}`).join(':'), `/old${jail.tools.umount}`],
    ...[isNode ? String(use.user ?? '') : '', use.descriptors === true ? 'yes' : ''],
    ...[jail.tools.setpriv, ...userWords],
    ...['--inh-caps=-all', '--bounding-set=-all', '--no-new-privs', '--pdeathsig', 'KILL', '--'],
    ...[jail.program, ...args],
  ];
}

/** Every directory on the way to these, each after the one that it is in. */
function withParents(paths: readonly string[]): string[] {
  const all = new Set<string>();
  for (const path of paths) {
    for (let one = path; !all.has(one); one = dirname(one)) all.add(one);
  }
  return [...all].toSorted();
}

/** In the format of fstab(5): the root onto itself first, since only a mount can become the root. */
function mountTable(
  jail: Jail,
  { root, devices, files }: JailUse & { root: string; devices: readonly string[] },
): string {
  const line = (source: string, target: string, options: string): string =>
    `${escaped(source)} ${escaped(target)} none ${options} 0 0\n`;
  const seen = (path: string, options: string): string => line(path, join(root, path), options);
  return [
    line(root, root, 'bind,ro,nosuid,nodev'),
    `tmpfs ${escaped(join(root, 'run'))} tmpfs size=${RUN_BYTES},mode=755,nosuid,noexec 0 0\n`,
    seen('/proc', 'rbind'),
    ...devices.map((path) => seen(path, 'bind,nosuid,noexec')),
    ...jail.system.map(({ path }) => seen(path, 'bind,ro,nosuid,nodev')),
    ...files.map(({ source, target, access }) =>
      line(
        source,
        join(root, target),
        `bind,${access === 'read' ? 'ro' : 'rw'},nosuid,nodev,noexec`,
      ),
    ),
  ].join('');
}

/** fstab(5): blanks and backslashes are written as octal numbers. */
const escaped = (path: string): string =>
  path.replaceAll(
    /[\s\\]/g,
    (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`,
  );

/** A file that is not there, or not for everybody to read, is told by its name on the host. */
export async function checkReadable(
  { source: path, access }: JailFile,
  isForAnother: boolean,
): Promise<void> {
  const file = await stat(path).catch((error: NodeJS.ErrnoException) => error);
  if (file instanceof Error) {
    throw new AgentError('boot_failed', `${path} cannot be read: ${file.code ?? file.message}.`);
  }
  if (!isForAnother || access === 'write' || (file.mode & 0o004) !== 0) return;
  throw new AgentError(
    'boot_failed',
    `${path} is not readable by the user that the machine runs as. Allow it: chmod o+r ${path}`,
  );
}

/** What unshare of util-linux 2.38 says when it would end by SIGKILL, as the program did. */
const UNSHARE_COMPLAINT = /unshare: sigprocmask unblock failed: Invalid argument\n?$/;

/** The process as the program in the jail: its own end and words, not those of who waits for it. */
export function asProgramInJail(process: SupervisedProcess): SupervisedProcess {
  return {
    ...process,
    tail: () => process.tail().replace(UNSHARE_COMPLAINT, ''),
    exited: process.exited.then((exit) =>
      exit.code === 1 && UNSHARE_COMPLAINT.test(process.tail())
        ? { code: null, signal: 'SIGKILL' }
        : exit,
    ),
  };
}
