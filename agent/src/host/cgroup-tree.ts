/** Control groups by name, in every hierarchy that is mounted here. Reads directories and nothing else. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** systemd nests five, a container in one five more. */
const MOST_LEVELS = 16;
/** A large host has some thousand groups in each of ten hierarchies. */
const MOST_GROUPS = 100_000;

/** Directories of groups whose whole path matches; those below one that does are not looked at. */
export async function listGroupDirectories(name: RegExp): Promise<string[]> {
  const found: string[] = [];
  let left = MOST_GROUPS;
  let level = await hierarchies();
  for (let depth = 0; depth < MOST_LEVELS && level.length > 0; depth += 1) {
    const next: string[] = [];
    for (const directory of level) {
      for (const child of await groupsIn(directory)) {
        if (--left < 0) return found;
        (name.test(child) ? found : next).push(child);
      }
    }
    level = next;
  }
  return found;
}

/** Where groups are mounted; controllers that share a hierarchy share a place. */
async function hierarchies(): Promise<string[]> {
  const lines = (await readFile('/proc/self/mounts', 'utf8')).split('\n');
  const places = lines.flatMap((line) => {
    const [, place, type] = line.split(' ');
    return place !== undefined && (type === 'cgroup' || type === 'cgroup2') ? [place] : [];
  });
  return [...new Set(places)];
}

async function groupsIn(directory: string): Promise<string[]> {
  try {
    const entries = await readdir(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => join(directory, name));
  } catch {
    return []; // gone meanwhile, or not ours to read
  }
}
