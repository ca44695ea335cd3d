/** Things that take seconds to make: made once for all files of tests that run together. */
import { existsSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A folder that outlives this process and is removed by whoever set it: `npm test`. */
const SHARED = 'ONEJOB_TEST_SHARED_DIR';

let folder: string | undefined;

/** Of this process, and gone with it. */
export function ownFolder(): string {
  if (folder !== undefined) return folder;
  const made = mkdtempSync(join(tmpdir(), 'onejob-made-'));
  process.once('exit', () => rmSync(made, { recursive: true, force: true }));
  folder = made;
  return made;
}

/**
 * The directory of that name, for reading.
 * @param make makes it at a path where nothing is
 */
export async function madeOnce(
  name: string,
  make: (path: string) => void | Promise<void>,
): Promise<string> {
  const shared = process.env[SHARED] ?? ownFolder();
  const place = join(shared, name);
  if (existsSync(place)) return place;
  const draft = mkdtempSync(join(shared, `${name}-draft-`));
  try {
    await make(join(draft, name));
    renameSync(join(draft, name), place);
  } catch (error) {
    // Another process was faster: what it made is as good.
    if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY') throw error;
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  return place;
}
