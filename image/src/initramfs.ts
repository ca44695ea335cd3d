/** Compiles the guest's init and packs it with the boot modules into the initramfs. */
import { readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { constants, gzip } from 'node:zlib';
import { directoryEntry, fileEntry, writeCpio } from './cpio.ts';
import { MODULE_LISTS } from './kernel.ts';
import type { RunTool } from './tool.ts';

const GUEST = join(import.meta.dirname, 'guest');
/** Each is compiled, or included by one that is. */
export const INIT_SOURCES: readonly string[] = [
  'init.c',
  'network.c',
  'network-card.c',
  'network.h',
].map((name) => join(GUEST, name));
/** A program of the root disk, for sandboxes that have no init. */
export const STEER_SOURCE = join(GUEST, 'steer.c');
export const COMPILER_FLAGS: readonly string[] = [
  '-static',
  '-Os',
  '-s',
  '-Wall',
  '-Wextra',
  '-Werror=implicit-function-declaration',
  '-Wl,--build-id=none',
];

/** Makes a static program. What the compiler keeps on the way is beside it. */
export async function compile(
  run: RunTool,
  { step, sources, target }: { step: string; sources: readonly string[]; target: string },
): Promise<void> {
  const command = ['gcc', ...COMPILER_FLAGS, '-o', target, ...sources] as const;
  await run({ step, command: [...command], temporaryDirectory: dirname(target) });
}

/** Mount points that init needs before it has a root disk. */
const DIRECTORIES: readonly string[] = ['dev', 'proc', 'sys', 'lower', 'upper', 'new', 'modules'];

export async function buildInitramfs(
  run: RunTool,
  paths: { modulesDirectory: string; workDirectory: string; target: string },
): Promise<void> {
  const program = join(paths.workDirectory, 'init');
  const sources = INIT_SOURCES.filter((path) => path.endsWith('.c'));
  await compile(run, { step: 'initrd', sources, target: program });
  const entries = DIRECTORIES.map(directoryEntry);
  entries.push(fileEntry('init', await readFile(program), 'program'));
  const names = new Set<string>();
  for (const list of Object.keys(MODULE_LISTS)) {
    const order = await readFile(join(paths.modulesDirectory, list));
    entries.push(fileEntry(`modules/${list}`, order, 'data'));
    for (const name of order.toString().trim().split('\n')) names.add(name);
  }
  for (const name of names) {
    const module = await readFile(join(paths.modulesDirectory, name));
    entries.push(fileEntry(`modules/${name}`, module, 'data'));
  }
  const packed = await promisify(gzip)(writeCpio(entries), { level: constants.Z_BEST_COMPRESSION });
  await writeFile(paths.target, packed);
}
