/** Directories of sandboxes in this agent's state directory, with the sockets and disks in them. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { isSandboxId, type SandboxId } from '@onejob/protocol';
import type { Finder, Found } from './finder.ts';

export const directoryFinder: Finder = {
  kind: 'directory',
  find: async ({ sandboxesDirectory }) => {
    const names = await namesIn(sandboxesDirectory);
    return await Promise.all(
      names
        .filter(isSandboxId)
        .map(
          async (sandboxId) => await foundDirectory(sandboxId, join(sandboxesDirectory, sandboxId)),
        ),
    );
  },
};

/** One that is ours. */
export async function foundDirectory(sandboxId: SandboxId, path: string): Promise<Found> {
  return {
    kind: 'directory',
    name: `directory ${path}`,
    sandboxId,
    isMarked: true,
    bornAtMs: await bornAt(path),
    remove: async (undo) => await undo({ kind: 'directory', path }),
  };
}

/** None where there is no such directory. */
export async function namesIn(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

/** File systems that do not keep the time of birth answer 0, or the last change. */
export async function bornAt(path: string): Promise<number | undefined> {
  const found = await stat(path).catch(() => undefined);
  if (found === undefined) return undefined;
  return found.birthtimeMs > 0 ? found.birthtimeMs : found.mtimeMs;
}
