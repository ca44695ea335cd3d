/**
 * What a foreign root file system needs to become a guest: room for our files and mount points, in real
 * directories, and the libraries that Node loads. What jobs take for granted and it does not have is
 * told, not added.
 */
import { ImageError } from '../errors.ts';
import type { LayerTree } from './layer-tree.ts';

/** init mounts over these; a link there would lead it elsewhere, so it becomes a directory. */
const MOUNT_POINTS = ['dev', 'proc', 'sys', 'tmp', 'run', 'root', 'home', 'work', 'var/tmp'];
/** Mounted over, so what is in there would never be seen. */
const EMPTIED = ['dev', 'proc', 'sys', 'tmp', 'run', 'root', 'work', 'var/tmp'];
/** Modules of whatever kernel it had: the one it gets has its own. */
const MODULES = 'usr/lib/modules';
/** Package lists and downloads: large, and older than the next look. */
const CACHES = ['var/lib/apt/lists', 'var/cache/apt/archives', 'var/cache/dnf', 'var/cache/yum'];
/** Where our files go. */
const OUR_DIRECTORIES = ['etc', 'opt', 'usr/local/bin', 'usr/local/lib/node_modules', MODULES];
const OUR_FILES = [
  ...['etc/hosts', 'etc/hostname', 'etc/machine-id', 'etc/resolv.conf', 'opt/onejob'],
  ...['usr/local/bin/node', 'usr/local/bin/npm', 'usr/local/bin/npx'],
  'usr/local/lib/node_modules/npm',
];

/** What the program of the npm package `node` loads (`ldd`), by the x86-64 ABI of the GNU C library. */
const LOADER = 'lib64/ld-linux-x86-64.so.2';
const LIBRARIES = ['libc.so.6', 'libm.so.6', 'libgcc_s.so.1', 'libstdc++.so.6'];
const LIBRARY_DIRECTORIES = [
  ...['lib/x86_64-linux-gnu', 'usr/lib/x86_64-linux-gnu', 'lib64', 'usr/lib64', 'lib', 'usr/lib'],
];
const PROGRAM_DIRECTORIES = [
  'usr/local/sbin',
  'usr/local/bin',
  'usr/sbin',
  'usr/bin',
  'sbin',
  'bin',
];

/** Program -> what does not work without it. */
const PROGRAMS: Readonly<Record<string, string>> = {
  sh: 'no `run` step works',
  bash: '`run` steps use sh, and `shell: bash` does not work',
  git: 'checkouts of other repositories, and programs that call git, do not work',
  curl: 'steps that call it fail',
  tar: 'caches and most actions that unpack something do not work',
  gzip: 'caches and most actions that unpack something do not work',
  zstd: 'caches are packed with gzip',
  sudo: 'steps that call it fail (jobs are root already)',
  python3: '`shell: python` does not work',
};
const CERTIFICATES = ['etc/ssl/certs/ca-certificates.crt', 'etc/pki/tls/certs/ca-bundle.crt'];

/** Makes room in the tree; answers sentences about what a job will miss. */
export function prepareForGuest(tree: LayerTree, archive: string): string[] {
  const replaced = MOUNT_POINTS.filter((path) => {
    if (tree.makeDirectory(path) !== undefined) return false;
    tree.remove(path);
    return tree.makeDirectory(path) !== undefined;
  });
  for (const path of EMPTIED) tree.makeDirectory(path)?.children.clear();
  for (const path of CACHES) {
    const found = tree.find(path, false);
    if (found?.kind === 'directory') found.children.clear();
  }
  requireLibraries(tree, archive);
  const missing = listMissing(tree);
  for (const path of OUR_DIRECTORIES) {
    if (tree.makeDirectory(path) !== undefined) continue;
    throw refused(
      archive,
      `its /${path} is no directory, or below a link, and files of the guest go there`,
    );
  }
  for (const path of MOUNT_POINTS) {
    if (tree.makeDirectory(path) === undefined)
      throw refused(archive, `its /${path} is no directory`);
  }
  for (const path of OUR_FILES) tree.remove(path);
  tree.makeDirectory(MODULES)?.children.clear();
  const notes = replaced.map(
    (path) => `/${path} was a link or a file, and is an empty directory now`,
  );
  if (tree.leftOut > 0) notes.push(`${tree.leftOut} devices and pipes of /dev were left out`);
  return [...missing, ...notes];
}

function requireLibraries(tree: LayerTree, archive: string): void {
  const isThere = (path: string): boolean => tree.find(path)?.kind === 'file';
  const missing = LIBRARIES.filter(
    (name) => !LIBRARY_DIRECTORIES.some((directory) => isThere(`${directory}/${name}`)),
  );
  if (!isThere(LOADER)) missing.unshift(`/${LOADER}`);
  if (missing.length === 0) return;
  throw refused(
    archive,
    `it has no ${missing.join(', ')}, which the guest's Node needs: the GNU C library (not musl) and ` +
      'libstdc++ for x86-64; in Debian: libc6 and libstdc++6',
  );
}

function listMissing(tree: LayerTree): string[] {
  const hasProgram = (name: string): boolean =>
    PROGRAM_DIRECTORIES.some((directory) => tree.find(`${directory}/${name}`)?.kind === 'file');
  const missing = Object.entries(PROGRAMS)
    .filter(([name]) => !hasProgram(name))
    .map(([name, consequence]) => `it has no ${name}: ${consequence}`);
  if (!CERTIFICATES.some((path) => tree.find(path)?.kind === 'file')) {
    missing.push('it has no certificates (ca-certificates): connections with TLS fail');
  }
  return missing;
}

function refused(archive: string, what: string): ImageError {
  return new ImageError('image_refused', `${archive} is not imported: ${what}`);
}
