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
  writeFile,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, join } from 'node:path';
import { archivesForGuest, formatSources, type DebianArchive } from './apt-sources.ts';
import { ImageError } from './errors.ts';
import { asRoot, type Privilege } from './privilege.ts';
import { RUNNER_FILES } from './guest/runner-script.ts';
import { ROOT_UUID, SOURCE_DATE_EPOCH } from './recipe.ts';
import type { RunTool } from './tool.ts';

/** The Node program that goes into the guest: the one of the npm package `node`. */
export interface GuestNode {
  version: string;
  path: string;
}

export async function findGuestNode(): Promise<GuestNode> {
  try {
    const manifest = createRequire(import.meta.url).resolve('node/package.json');
    const { version } = JSON.parse(await readFile(manifest, 'utf8')) as { version: string };
    // npm prunes the platform's own package, but the package `node` keeps a link to its program
    const path = join(dirname(manifest), 'bin/node');
    await access(path, constants.X_OK);
    return { version, path };
  } catch (cause) {
    throw new ImageError(
      'image_tool_missing',
      'the program of the npm package node is not installed, and the guest gets its Node from ' +
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
export const PACK_SCRIPT = `
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

export async function buildRootFilesystem(
  run: RunTool,
  options: {
    baseTar: string;
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
  },
): Promise<void> {
  const stage = join(options.workDirectory, 'stage');
  const directories = ['etc/apt/sources.list.d', 'etc/profile.d', 'opt/onejob', 'usr/local/bin'];
  for (const directory of directories) {
    await mkdir(join(stage, directory), { recursive: true, mode: 0o755 });
  }
  const files: [string, string][] = [
    ['etc/hosts', '127.0.0.1 localhost onejob.localhost\n::1 localhost onejob.localhost\n'],
    ['etc/hostname', 'onejob\n'],
    ['etc/machine-id', ''],
    ['etc/resolv.conf', ''],
    ['etc/apt/sources.list.d/debian.sources', formatSources(archivesForGuest(options.archives))],
  ];
  for (const [path, text] of files) {
    await writeFile(join(stage, path), text);
    await chmod(join(stage, path), 0o644);
  }
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
  const node = join(stage, 'usr/local/bin/node');
  await run({ step: 'root', command: ['strip', '-o', node, options.node.path] });
  await chmod(node, 0o755);

  const tree = join(options.workDirectory, 'tree');
  const values = [tree, options.baseTar, stage, options.target];
  values.push(String(SOURCE_DATE_EPOCH), ROOT_UUID);
  const command = asRoot(options.privilege, ['sh', '-euc', PACK_SCRIPT, 'pack', ...values]);
  await run({ step: 'root', command });
}

/** Whatever the umask of whoever builds: equal inputs give equal bytes. */
async function openForAll(directory: string): Promise<void> {
  await chmod(directory, 0o755);
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    await chmod(join(entry.parentPath, entry.name), entry.isDirectory() ? 0o755 : 0o644);
  }
}
