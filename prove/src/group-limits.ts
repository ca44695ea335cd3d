/**
 * What the control groups of a process hold it to, in either version: its own group and those above it,
 * up to the first that the looking process is in as well. What is said there is said to both.
 */
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { groupMountOf, parseGroupMounts, parseGroups, type GroupMount } from './scene/groups.ts';

export const LIMITED = ['memory', 'cpu', 'pids'] as const;
export type Limited = (typeof LIMITED)[number];

/** Files of a limit: version 2 and version 1 (cgroup-v2.rst, cgroup-v1 of the kernel's documentation). */
const FILES: Readonly<Record<Limited, readonly string[]>> = {
  memory: ['memory.max', 'memory.limit_in_bytes'],
  cpu: ['cpu.max', 'cpu.cfs_quota_us'],
  pids: ['pids.max'],
};
/** Version 1 says "unlimited" with the highest number of pages; no host has as much memory. */
const NO_LIMIT = 2 ** 60;

/** Directories of the groups that hold a process and not the looking one, by what they can limit. Pure. */
export function groupsApart(
  mounts: readonly GroupMount[],
  groups: string,
  ofLooker: string,
): { controllers: string; directories: string[] }[] {
  const others = new Map(
    parseSeenGroups(ofLooker).map(({ controllers, path }) => [controllers, path]),
  );
  return parseSeenGroups(groups).map(({ controllers, path: own }) => {
    const mount = groupMountOf(mounts, controllers);
    const root = mount?.root.replace(/\/$/, '') ?? '';
    const other = others.get(controllers) ?? '/';
    const directories: string[] = [];
    for (let at = own; mount !== undefined && !isOrHolds(at, other); at = dirname(at)) {
      if (at.startsWith(`${root}/`)) directories.push(join(mount.place, at.slice(root.length)));
    }
    return { controllers, directories };
  });
}

/** What lies outside of our view of the tree is left out. */
const parseSeenGroups = (text: string): ReturnType<typeof parseGroups> =>
  parseGroups(text).filter(({ path }) => path.startsWith('/') && !path.includes('/..'));

const isOrHolds = (group: string, other: string): boolean =>
  group === '/' || other === group || other.startsWith(`${group}/`);

/** The smallest there is of each; a limit that is missing is none. */
export function groupLimits(pid: number): Map<Limited, number> {
  const read = (path: string): string => {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return ''; // not of this version or hierarchy, or gone
    }
  };
  const mounts = parseGroupMounts(read('/proc/self/mountinfo'));
  const all = groupsApart(mounts, read(`/proc/${pid}/cgroup`), read('/proc/self/cgroup'));
  const limits = new Map<Limited, number>();
  for (const kind of LIMITED) {
    const places = all
      .filter(({ controllers }) => controllers === '' || controllers.split(',').includes(kind))
      .flatMap(({ directories }) => directories);
    const values = places
      .flatMap((place) => FILES[kind].map((file) => join(place, file)))
      .map((path) => Number.parseInt(read(path), 10))
      .filter((value) => value >= 0 && value < NO_LIMIT);
    if (values.length > 0) limits.set(kind, Math.min(...values));
  }
  return limits;
}
