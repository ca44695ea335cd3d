/**
 * Control groups of a proof: one below the group of whoever runs it, in each hierarchy that a sandbox is
 * held by. In a namespace of control groups they are all of the tree that there is, so that what an
 * attack does to groups is done to none of the host's.
 */
import { mkdir, readdir, readFile, rmdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

/** What holds a sandbox, the one of disks where it is there, and what container engines take. */
const WANTED = ['memory', 'cpu', 'pids', 'blkio', 'devices', 'freezer'];
const NAME = 'onejob-prove-';
/** A proof enters its groups at once; empty ones that are older were left by one that was killed. */
const ABANDONED_MS = 60_000;
/** A killed process leaves its group when it has given its memory back. */
const REMOVE_TRIES = 100;
const REMOVE_POLL_MS = 50;

export type Hierarchy = {
  /** `memory`, `cpu,cpuacct`; `unified`: version 2. */
  controllers: string;
  /** Where the proof's group is made. */
  parent: string;
};

export type GroupMount = {
  /** The group that is seen at the place. */
  root: string;
  place: string;
  type: string;
  /** Controllers of version 1 among them. */
  options: readonly string[];
};

/** Pure: from /proc/self/mountinfo (proc(5)); mounts of other types are in it, too. */
export const parseGroupMounts = (mountInfo: string): GroupMount[] =>
  mountInfo.split('\n').map((line) => {
    const [before = '', after = ''] = line.split(' - ');
    const [, , , root = '', place = ''] = before.split(' ');
    const [type = '', , options = ''] = after.split(' ');
    return { root, place, type, options: options.split(',') };
  });

/** Pure: from /proc/<pid>/cgroup (cgroups(7)); no controllers: version 2. */
export const parseGroups = (text: string): { controllers: string; path: string }[] =>
  Array.from(text.matchAll(/^\d+:([^:\n]*):(.+)$/gm), ([, controllers = '', path = '']) => ({
    ...{ controllers, path },
  }));

/** The mount of a hierarchy, as `parseGroups` names its controllers. Pure. */
export const groupMountOf = (
  mounts: readonly GroupMount[],
  controllers: string,
): GroupMount | undefined =>
  mounts.find(({ type, options }) =>
    controllers === ''
      ? type === 'cgroup2'
      : type === 'cgroup' && controllers.split(',').every((name) => options.includes(name)),
  );

/**
 * Pure: from /proc/self/mountinfo and /proc/self/cgroup (cgroups(7)). In version 2 the group is made at
 * the top: one with processes beside it is handed no controllers.
 */
export function parseHierarchies(mountInfo: string, ownGroups: string): Hierarchy[] {
  const mounts = parseGroupMounts(mountInfo);
  return parseGroups(ownGroups).flatMap(({ controllers, path: own }): Hierarchy[] => {
    const mount = groupMountOf(mounts, controllers);
    if (mount === undefined) return [];
    if (controllers === '') return [{ controllers: 'unified', parent: mount.place }];
    if (!controllers.split(',').some((name) => WANTED.includes(name))) return [];
    const isBelow = own === mount.root || own.startsWith(`${mount.root.replace(/\/$/, '')}/`);
    const below = isBelow ? own.slice(mount.root.length) : '';
    return [{ controllers, parent: join(mount.place, below) }];
  });
}

export type ProofGroups = AsyncDisposable & {
  readonly hierarchies: readonly string[];
  readonly paths: readonly string[];
};

/** Made where the host lets us; gone with all that is in them when disposed. */
export async function makeGroups(mark: string): Promise<ProofGroups> {
  const [mounts, own] = await Promise.all([
    readFile('/proc/self/mountinfo', 'utf8'),
    readFile('/proc/self/cgroup', 'utf8'),
  ]);
  const made: { controllers: string; path: string }[] = [];
  await using undo = new AsyncDisposableStack();
  for (const { controllers, parent } of parseHierarchies(mounts, own)) {
    await removeAbandoned(parent);
    const path = join(parent, `${NAME}${mark}`);
    try {
      await mkdir(path);
    } catch {
      continue; // read only, or not ours: sandboxes get no group there either
    }
    undo.defer(async () => await removeTree(path));
    made.push({ controllers, path });
    if (controllers === 'unified') await handOn(parent);
  }
  const owned = undo.move();
  return {
    hierarchies: made.map(({ controllers }) => controllers),
    paths: made.map(({ path }) => path),
    [Symbol.asyncDispose]: async () => await owned.disposeAsync(),
  };
}

/** As the agent does it for its sandboxes, and stays: others may rely on it meanwhile. */
async function handOn(parent: string): Promise<void> {
  for (const controller of ['memory', 'cpu', 'pids', 'io']) {
    await writeFile(join(parent, 'cgroup.subtree_control'), `+${controller}`).catch(() => {});
  }
}

/** Of a proof that goes on, somebody is in the group or below it. */
async function removeAbandoned(parent: string): Promise<void> {
  for (const name of await readdir(parent).catch(() => [])) {
    if (!name.startsWith(NAME)) continue;
    const path = join(parent, name);
    const born = (await stat(path).catch(() => undefined))?.mtimeMs ?? Infinity;
    const isOld = Date.now() - born > ABANDONED_MS;
    if (isOld && !(await isInhabited(path))) await removeTree(path, 0).catch(() => {});
  }
}

async function isInhabited(path: string): Promise<boolean> {
  const inside = await readFile(join(path, 'cgroup.procs'), 'utf8').catch(() => 'unknown');
  if (inside.trim() !== '') return true;
  for (const entry of await readdir(path, { withFileTypes: true })) {
    if (entry.isDirectory() && (await isInhabited(join(path, entry.name)))) return true;
  }
  return false;
}

/** Innermost first; succeeds where there is nothing. */
export async function removeTree(path: string, tries = REMOVE_TRIES): Promise<void> {
  for (let left = tries; ; left -= 1) {
    try {
      const below = await readdir(path, { withFileTypes: true });
      for (const entry of below)
        if (entry.isDirectory()) await removeTree(join(path, entry.name), tries);
      return await rmdir(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      if (left === 0) throw error;
      await sleep(REMOVE_POLL_MS);
    }
  }
}
