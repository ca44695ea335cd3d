/**
 * Data directories as the first start leaves them, copied instead of made: PostgreSQL's initdb takes
 * seconds of processor time.
 *
 * A directory that is given back is used again and only what differs is written: a file system may
 * search long for a place for a thousand new files where a thousand were just deleted (ext4 does).
 */
import {
  copyFileSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  type Stats,
  utimesSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startControlPlane } from '@onejob/control-plane';

/** A folder that outlives this process and is removed by whoever set it: `npm test`. */
const SHARED = 'ONEJOB_TEST_SHARED_DIR';

let folder: string | undefined;
let template: Promise<string> | undefined;
const givenBack: string[] = [];

/** Makes `path`, which must not exist. */
export async function makeDataDirectory(path: string): Promise<void> {
  template ??= makeTemplate();
  const original = await template;
  const old = givenBack.pop();
  if (old === undefined) mkdirSync(path, { mode: 0o700 });
  else renameSync(old, path);
  makeAlike(original, path);
}

/** Instead of removing a directory that was made here: it may serve again. Nobody may use it now. */
export function giveBackDataDirectory(path: string): void {
  const kept = mkdtempSync(join(ownFolder(), 'used-'));
  renameSync(path, join(kept, 'data'));
  givenBack.push(join(kept, 'data'));
}

function ownFolder(): string {
  if (folder !== undefined) return folder;
  const made = mkdtempSync(join(tmpdir(), 'onejob-data-'));
  process.once('exit', () => rmSync(made, { recursive: true, force: true }));
  folder = made;
  return made;
}

async function makeTemplate(): Promise<string> {
  const place = join(process.env[SHARED] ?? ownFolder(), 'empty-data-directory');
  if (existsSync(place)) return place;
  const fresh = join(mkdtempSync(join(ownFolder(), 'new-')), 'data');
  const plane = await startControlPlane({ dataDirectory: fresh, database: { kind: 'pglite' } });
  await plane[Symbol.asyncDispose]();
  try {
    renameSync(fresh, place);
  } catch (error) {
    // Another process was faster: its directory is as good.
    if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY') throw error;
  }
  return place;
}

/** In milliseconds: a time that is set loses what is finer. */
const timeOf = ({ mtimeMs }: Stats): number => Math.trunc(mtimeMs);

/** Names, bytes and times of files become those of `original`; permissions stay as they are. */
function makeAlike(original: string, path: string): void {
  const wanted = new Set(readdirSync(original));
  for (const name of readdirSync(path)) {
    if (!wanted.has(name)) rmSync(join(path, name), { recursive: true });
  }
  for (const name of wanted) {
    const from = join(original, name);
    const to = join(path, name);
    const stats = lstatSync(from);
    let before = lstatSync(to, { throwIfNoEntry: false });
    if (before !== undefined && before.isDirectory() !== stats.isDirectory()) {
      rmSync(to, { recursive: true });
      before = undefined;
    }
    if (stats.isDirectory()) {
      if (before === undefined) mkdirSync(to, { mode: stats.mode });
      makeAlike(from, to);
    } else if (before?.size !== stats.size || timeOf(before) !== timeOf(stats)) {
      copyFileSync(from, to);
      utimesSync(to, stats.atime, stats.mtime);
    }
  }
}
