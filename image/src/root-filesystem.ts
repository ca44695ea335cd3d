/**
 * The quick layer: base packages, Node, the guest runner and a few files of ours become one erofs
 * image. It is left uncompressed: compressed it would be 110 MB smaller, but each cold start of Node
 * would unpack it again (170 ms under emulation), and the host shares its page cache among sandboxes.
 * Owners, order and times are fixed, so equal inputs give equal bytes, as root or not.
 */
import {
  access,
  chmod,
  constants,
  cp,
  mkdir,
  readdir,
  readFile,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { archivesForGuest, formatSources, type DebianArchive } from './apt-sources.ts';
import { ImageError } from './errors.ts';
import { compile, STEER_SOURCE } from './initramfs.ts';
import { asRoot, type Privilege } from './privilege.ts';
import { RUNNER_FILES } from './guest/runner-script.ts';
import { ROOT_UUID, SOURCE_DATE_EPOCH } from './recipe.ts';
import type { RunTool } from './tool.ts';

/** What goes into the guest: the program of the npm package `node`, and the npm package `npm`. */
export interface GuestNode {
  version: string;
  path: string;
  /** The package's directory is `path`. */
  npm: { version: string; path: string };
}

export async function findGuestNode(): Promise<GuestNode> {
  try {
    const require = createRequire(import.meta.url);
    const manifest = require.resolve('node/package.json');
    const npmManifest = require.resolve('npm/package.json');
    const versionIn = async (file: string): Promise<string> =>
      (JSON.parse(await readFile(file, 'utf8')) as { version: string }).version;
    // npm prunes the platform's own package, but the package `node` keeps a link to its program
    const path = join(dirname(manifest), 'bin/node');
    await access(path, constants.X_OK);
    const npm = { version: await versionIn(npmManifest), path: dirname(npmManifest) };
    return { version: await versionIn(manifest), path, npm };
  } catch (cause) {
    throw new ImageError(
      'image_tool_missing',
      'the npm packages node and npm are not installed, and the guest gets its Node and npm from ' +
        'there; run npm ci in the repository',
      { cause },
    );
  }
}

/**
 * Runs as the owner of everything: unpacks, adds our files, gives every file changed since a time not
 * after the epoch that time, and packs. Root's home is emptied: the guest mounts its own over it. The
 * empty directories of apt go because their owner depends on where the base was built.
 */
const PACK_SCRIPT = `
tree=$1 base=$2 stage=$3 out=$4 epoch=$5 uuid=$6
mkdir "$tree"
tar -xf "$base" -C "$tree" --exclude='./dev/*'
find "$tree/root" -mindepth 1 -delete
rm -rf "$tree"/var/lib/apt/lists/* "$tree"/var/cache/apt/archives/*
cp -r --no-preserve=ownership --preserve=mode "$stage/." "$tree/"
chown -R 0:0 "$tree/opt" "$tree/usr/local"
mkdir -p "$tree/work"
find "$tree" -newermt "@$epoch" -print0 | xargs -0r touch -h -d "@$epoch"
mkfs.erofs -d0 -T"$epoch" -U "$uuid" "$out" "$tree" >/dev/null
rm -rf "$tree"
`;

/** This file: what it writes is the image. */
export const ROOT_SOURCE = join(import.meta.dirname, 'root-filesystem.ts');

/** Of a sandbox in which no init gives it a name of its own. */
const HOST_NAME = 'onejob';
const OWN_NAMES = `localhost onejob.localhost ${HOST_NAME}`;

/**
 * The same for a root file system that somebody else made, as a flat tar (import/flatten.ts): nothing in
 * the tree is followed or removed by a path that could be a link, and a link at the place of a file of
 * ours is replaced, not written through.
 */
const FOREIGN_PACK_SCRIPT = `
tree=$1 base=$2 stage=$3 out=$4 epoch=$5 uuid=$6
mkdir "$tree"
tar -xf "$base" -C "$tree" --numeric-owner
cp -r --remove-destination --no-preserve=ownership --preserve=mode "$stage/." "$tree/"
find "$tree" -newermt "@$epoch" -print0 | xargs -0r touch -h -d "@$epoch"
mkfs.erofs -d0 -T"$epoch" -U "$uuid" "$out" "$tree" >/dev/null
rm -rf "$tree"
`;

type RootOptions = {
  /** Of our own base layer. */
  baseTar: string;
  /** Somebody else's, in its place: it gets no Debian sources, and the base's kernel modules. */
  foreignTar: string | undefined;
  /** Where each file of the guest runner is now. */
  runner: Readonly<Record<keyof typeof RUNNER_FILES, string>>;
  /** Keeps its name: the bundle asks for it by that. */
  actionParserPath: string;
  /** A directory; keeps its name, for the same reason. */
  builtinActionsPath: string | undefined;
  node: GuestNode;
  archives: readonly DebianArchive[];
  privilege: Privilege;
  workDirectory: string;
  target: string;
};

export async function buildRootFilesystem(run: RunTool, options: RootOptions): Promise<void> {
  const stage = join(options.workDirectory, 'stage');
  const directories = ['etc', 'opt/onejob', 'usr/local/bin'];
  if (options.foreignTar === undefined)
    directories.unshift('etc/apt/sources.list.d', 'etc/profile.d');
  for (const directory of directories) {
    await mkdir(join(stage, directory), { recursive: true, mode: 0o755 });
  }
  const files: [string, string][] = [
    ['etc/hosts', `127.0.0.1 ${OWN_NAMES}\n::1 ${OWN_NAMES}\n`],
    ['etc/hostname', `${HOST_NAME}\n`],
    ['etc/machine-id', ''],
    ['etc/resolv.conf', 'nameserver 198.18.0.53\n'],
  ];
  if (options.foreignTar === undefined) {
    const sources = formatSources(archivesForGuest(options.archives));
    files.push(['etc/apt/sources.list.d/debian.sources', sources]);
  }
  for (const [path, text] of files) {
    await writeFile(join(stage, path), text);
    await chmod(join(stage, path), 0o644);
  }
  await addRunner(stage, options);
  const steer = join(stage, 'opt/onejob/steer');
  await compile(run, { step: 'root', sources: [STEER_SOURCE], target: steer });
  await chmod(steer, 0o755);
  if (options.foreignTar !== undefined) {
    const words = ['-xf', options.baseTar, '-C', stage, '--no-same-owner', './usr/lib/modules'];
    await run({ step: 'root', command: ['tar', ...words] });
  }
  const node = join(stage, 'usr/local/bin/node');
  await run({ step: 'root', command: ['strip', '-o', node, options.node.path] });
  await chmod(node, 0o755);
  await addNpm(join(stage, 'usr/local'), options.node.npm.path);

  const tree = join(options.workDirectory, 'tree');
  const values = [tree, options.foreignTar ?? options.baseTar, stage, options.target];
  values.push(String(SOURCE_DATE_EPOCH), ROOT_UUID);
  const script = options.foreignTar === undefined ? PACK_SCRIPT : FOREIGN_PACK_SCRIPT;
  const command = asRoot(options.privilege, ['sh', '-euc', script, 'pack', ...values]);
  await run({ step: 'root', command });
}

/** The guest runner, and what it loads when it has to. */
async function addRunner(
  stage: string,
  options: Pick<RootOptions, 'runner' | 'actionParserPath' | 'builtinActionsPath'>,
): Promise<void> {
  const runnerFiles: [string, string][] = [
    [options.actionParserPath, basename(options.actionParserPath)],
    ...Object.entries(RUNNER_FILES).map(([part, name]): [string, string] => [
      options.runner[part as keyof typeof RUNNER_FILES],
      name,
    ]),
  ];
  for (const [from, name] of runnerFiles) {
    const target = join(stage, 'opt/onejob', name);
    await cp(from, target);
    await chmod(target, 0o644);
  }
  const { builtinActionsPath } = options;
  if (builtinActionsPath !== undefined) {
    const target = join(stage, 'opt/onejob', basename(builtinActionsPath));
    await cp(builtinActionsPath, target, { recursive: true });
    await openForAll(target);
  }
}

/** Where an installation of Node has it. */
async function addNpm(prefix: string, npmPath: string): Promise<void> {
  const target = join(prefix, 'lib/node_modules/npm');
  await cp(npmPath, target, { recursive: true, verbatimSymlinks: true });
  await openForAll(target);
  for (const name of ['npm', 'npx']) {
    const program = `npm/bin/${name}-cli.js`;
    await chmod(join(prefix, 'lib/node_modules', program), 0o755);
    await symlink(`../lib/node_modules/${program}`, join(prefix, 'bin', name));
  }
}

/** Whatever the umask of whoever builds: equal inputs give equal bytes. */
async function openForAll(directory: string): Promise<void> {
  await chmod(directory, 0o755);
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (entry.isSymbolicLink()) continue;
    const path = join(entry.parentPath, entry.name);
    const isOpen = entry.isDirectory() || ((await stat(path)).mode & 0o100) !== 0;
    await chmod(path, isOpen ? 0o755 : 0o644);
  }
}
