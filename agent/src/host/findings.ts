/**
 * What was found out about this host by trying, remembered in a file: it stays true for this boot, this
 * kernel and whatever else it is about. A torn file, or one about something else, counts as none.
 */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { release } from 'node:os';
import { dirname } from 'node:path';

const FILE_BYTES = 16 * 1024;

/** @param about what was tried, besides this boot and kernel; JSON */
export async function recallFinding(path: string, about: readonly unknown[]): Promise<unknown> {
  try {
    const text = await readFile(path, 'utf8');
    if (text.length > FILE_BYTES) return undefined;
    const { key, found } = JSON.parse(text) as { key?: unknown; found?: unknown };
    return key === (await keyOf(about)) ? found : undefined;
  } catch {
    return undefined; // the first start on this host, or a torn file: it is tried again
  }
}

/** @param found JSON */
export async function keepFinding(
  path: string,
  about: readonly unknown[],
  found: unknown,
): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeAtomically(path, JSON.stringify({ key: await keyOf(about), found }));
}

async function keyOf(about: readonly unknown[]): Promise<string> {
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  return JSON.stringify([bootId, release(), ...about]);
}

export async function writeAtomically(path: string, content: string | Uint8Array): Promise<void> {
  const draft = `${path}.${process.pid}`;
  await writeFile(draft, content, { mode: 0o600 });
  await rename(draft, path);
}
