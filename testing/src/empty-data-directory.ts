/**
 * Data directories as the first start leaves them, copied instead of made: PostgreSQL's initdb takes
 * seconds of processor time.
 *
 * A directory that is given back is used again and only what differs is written: a file system may
 * search long for a place for a thousand new files where a thousand were just deleted (ext4 does).
 */
import {
  copyFileSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  type Stats,
  utimesSync,
} from 'node:fs';
import { join } from 'node:path';
import { startControlPlane } from '@onejob/control-plane';
import { madeOnce, ownFolder } from './made-once.ts';

let template: Promise<string> | undefined;
const givenBack: string[] = [];

/** Makes `path`, which must not exist. */
export async function makeDataDirectory(path: string): Promise<void> {
  template ??= madeOnce('empty-data-directory', async (fresh) => {
    const plane = await startControlPlane({ dataDirectory: fresh, database: { kind: 'pglite' } });
    await plane[Symbol.asyncDispose]();
  });
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
