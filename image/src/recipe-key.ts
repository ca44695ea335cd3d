/**
 * What names an image that is built here: all it is made of. Who changes any of it gets another image,
 * and with it other machines and other snapshots of them.
 */
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { DebianArchive } from './apt-sources.ts';
import { baseInputsKey } from './base-layer.ts';
import { COMPILER_FLAGS, INIT_SOURCES, STEER_SOURCE } from './initramfs.ts';
import { MODULE_LISTS } from './kernel.ts';
import { IMAGE_REVISION, ROOT_UUID } from './recipe.ts';
import { ROOT_SOURCE } from './root-filesystem.ts';

export interface RecipeInputs {
  archives: readonly DebianArchive[];
  /** Digests of the guest runner's bundle, and of what loads it in the guest. */
  runner: string;
  start: string;
  /** Versions. */
  node: string;
  npm: string;
  /** Texts of what is compiled for the guest, and of what writes and packs its other files. */
  programs: readonly string[];
  compileCache: readonly string[];
}

/** Each is compiled, included by one that is, or has what is written and packed. */
export const PROGRAM_SOURCES: readonly string[] = [...INIT_SOURCES, STEER_SOURCE, ROOT_SOURCE];

export async function readPrograms(): Promise<string[]> {
  return await Promise.all(PROGRAM_SOURCES.map(async (path) => await readFile(path, 'utf8')));
}

/** Of what this checkout and this host ask for, before apt resolved any version. */
export function recipeKey(inputs: RecipeInputs): string {
  const { archives, runner, start, node, npm, programs, compileCache } = inputs;
  return sha256([
    ...[IMAGE_REVISION, baseInputsKey(archives), runner, node, npm],
    ...[sha256([programs, COMPILER_FLAGS]), ROOT_UUID, JSON.stringify(MODULE_LISTS)],
    ...[start, ...compileCache],
  ]);
}

/** @param base the base layer's: the packages' versions, the kernel's among them */
export const builtDigest = (recipe: string, base: string): string => sha256([recipe, base]);

function sha256(value: unknown): string {
  return createHash('sha256').update(JSON.stringify(value)).digest('hex');
}
