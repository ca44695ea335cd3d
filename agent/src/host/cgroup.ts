/**
 * Control groups: what the host's kernel enforces on a tree of plain processes. A sandbox's group
 * limits its memory (swap included), its processor time and its number of processes, and may have a
 * weight; whoever enters it cannot leave, and its children are born in it.
 *
 * Version 2 where the host has the three controllers there, else version 1, one hierarchy each; the
 * one of disks joins where it is there. In
 * version 1 groups lie below the agent's own, so that what limits the agent limits them together.
 * Whether this works is found out by making a group, and so may be refused (no root, a container).
 */
import { mkdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { readFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { basename, join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentError } from '../errors.ts';

const CONTROLLERS = ['memory', 'cpu', 'pids'] as const;
type Controller = (typeof CONTROLLERS)[number];

/** Where groups are made: one directory a controller, the same one three times in version 2. */
export type Cgroups = {
  version: 1 | 2;
  parents: Readonly<Record<Controller, string>>;
  /** Where the host shares its disks out by weight, too. */
  io?: string;
};
export type CgroupLimits = {
  cpus: number;
  memoryBytes: number;
  /** Threads count too; by default as many as a build may have. */
  processes?: number;
  /** Share of busy processors and disks, beside others; the kernel's default is 100. */
  weight?: number;
};

/** The kernel's default period; a quota is told in parts of it. */
const CPU_PERIOD_US = 100_000;
/** A build with every tool's threads stays far below; a fork bomb ends before the host notices. */
const MOST_PROCESSES = 8_192;
/** What version 1 calls the weight of 100 (its default, 1024 shares). */
const SHARES_PER_WEIGHT = 10.24;
/** Of version 1; version 2 goes to 10,000. */
const MOST_BLKIO_WEIGHT = 1_000;
/** A killed process leaves its group when it has given its memory back. */
const REMOVE_PATIENCE_MS = 10_000;
const REMOVE_POLL_MS = 10;

/** The groups' parents, or for people: why this host has none for us. */
export async function findCgroups(): Promise<Cgroups | { whyNot: string }> {
  const candidates = await listCandidates();
  const refusals: string[] = [];
  for (const cgroups of candidates) {
    const paths = groupPaths(cgroups, `onejob-probe-${randomBytes(6).toString('hex')}`);
    const enabled: string[] = [];
    try {
      if (cgroups.version === 2) await enableControllers(cgroups, enabled);
      await createCgroup(cgroups, paths, { cpus: 1, memoryBytes: 64 * 1024 * 1024 });
      await removeCgroup(paths);
      return cgroups;
    } catch (error) {
      refusals.push(`version ${cgroups.version}: ${(error as Error).message}`);
      await removeCgroup(paths).catch(() => {});
      await setControllers(cgroups.parents.memory, '-', enabled).catch(() => {});
    }
  }
  return { whyNot: refusals.join('; ') || 'no hierarchy with memory, cpu and pids is mounted' };
}

/** The directories of a sandbox's group: one in version 2, three in version 1. */
export const cgroupPaths = (cgroups: Cgroups, sandboxId: string): string[] =>
  groupPaths(cgroups, groupName(sandboxId));

const groupName = (sandboxId: string): string => `onejob-${sandboxId}`;

const groupPaths = ({ parents, io }: Cgroups, name: string): string[] => {
  const all = [...CONTROLLERS.map((controller) => parents[controller]), io ?? parents.memory];
  return [...new Set(all.map((parent) => join(parent, name)))];
};

/** True for a directory that can be the group of this sandbox and of no other thing. */
export const isCgroupOf = (sandboxId: string, path: string): boolean =>
  basename(path) === groupName(sandboxId) && resolve(path) === path;

/** Makes the group and sets its limits. On failure some of `paths` may be there. */
export async function createCgroup(
  { version, parents }: Cgroups,
  paths: readonly string[],
  { cpus, memoryBytes, processes = MOST_PROCESSES, weight }: CgroupLimits,
): Promise<void> {
  for (const path of paths) await mkdir(path);
  const inGroup = (controller: Controller, file: string): string => {
    const of = paths.find((path) => path.startsWith(`${parents[controller]}/`)) ?? '';
    return join(of, `${controller}.${file}`);
  };
  const memory = String(Math.round(memoryBytes));
  const quota = String(Math.round(cpus * CPU_PERIOD_US));
  if (version === 2) {
    await writeFile(inGroup('memory', 'max'), memory);
    await writeIfThere(inGroup('memory', 'swap.max'), '0');
    await writeFile(inGroup('cpu', 'max'), `${quota} ${CPU_PERIOD_US}`);
    if (weight !== undefined) await writeFile(inGroup('cpu', 'weight'), String(weight));
  } else {
    await writeFile(inGroup('memory', 'limit_in_bytes'), memory);
    await writeIfThere(inGroup('memory', 'memsw.limit_in_bytes'), memory);
    await writeFile(inGroup('cpu', 'cfs_period_us'), String(CPU_PERIOD_US));
    await writeFile(inGroup('cpu', 'cfs_quota_us'), quota);
    if (weight !== undefined) {
      const shares = String(Math.round(weight * SHARES_PER_WEIGHT));
      await writeFile(inGroup('cpu', 'shares'), shares);
    }
  }
  await writeFile(inGroup('pids', 'max'), String(processes));
  if (weight !== undefined) await shareDisks(paths, weight);
}

/** The file is there where the host has a scheduler of disks that goes by weights. */
async function shareDisks(paths: readonly string[], weight: number): Promise<void> {
  const inVersion1 = String(Math.min(weight, MOST_BLKIO_WEIGHT));
  for (const path of paths) {
    await writeIfThere(join(path, 'io.weight'), `default ${weight}`);
    await writeIfThere(join(path, 'blkio.weight'), inVersion1);
    await writeIfThere(join(path, 'blkio.bfq.weight'), inVersion1);
  }
}

/** The words to put before a command so that it runs in the group; it fails rather than run outside. */
export function cgroupPrefix(paths: readonly string[]): string[] {
  if (paths.length === 0) return [];
  const script =
    'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs" || exit 125; shift; done; shift; unset PWD OLDPWD; exec "$@"';
  return ['/bin/sh', '-c', script, 'sh', ...paths, '--'];
}

/** How often the kernel killed in the group for want of memory. */
export function cgroupOomKills(paths: readonly string[]): number {
  const counts = paths.flatMap((path) =>
    ['memory.events', 'memory.oom_control'].map((file) => {
      try {
        const text = readFileSync(join(path, file), 'utf8');
        return Number(/^oom_kill (\d+)$/m.exec(text)?.[1] ?? 0);
      } catch {
        return 0; // the other version's file, or another controller's directory
      }
    }),
  );
  return Math.max(0, ...counts);
}

/** Kills whatever is in the group and removes it; succeeds where there is none. */
export async function removeCgroup(paths: readonly string[]): Promise<void> {
  const deadline = performance.now() + REMOVE_PATIENCE_MS;
  for (const path of paths) {
    while (!(await isRemoved(path))) {
      if (performance.now() > deadline) {
        throw new AgentError(
          'boot_failed',
          `The control group ${path} cannot be removed; see who is in it: cat ${path}/cgroup.procs`,
        );
      }
      await sleep(REMOVE_POLL_MS);
    }
  }
}

async function isRemoved(path: string): Promise<boolean> {
  try {
    // Version 2 since Linux 5.14: at once, so that no fork gets away between reading and killing.
    await writeIfThere(join(path, 'cgroup.kill'), '1');
    for (const pid of (await readFile(join(path, 'cgroup.procs'), 'utf8')).split('\n')) {
      if (/^[1-9]\d*$/.test(pid)) killNow(Number(pid));
    }
    await rmdir(path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'ENOENT') return true;
    // ENODEV: it went while it was read; busy: its processes are on their way out.
    if (code === 'EBUSY' || code === 'ENODEV' || code === 'ENOTEMPTY') return false;
    throw error;
  }
}

function killNow(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Writes where the kernel has the file: swap accounting may be off. */
async function writeIfThere(path: string, text: string): Promise<void> {
  await writeFile(path, text, { flag: 'r+' }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error;
  });
}

/**
 * Those that the root does not hand on yet, noted in `enabled`: they are undone when groups of ours
 * cannot be made all the same. The one of disks is taken where it is there.
 */
async function enableControllers(cgroups: Cgroups, enabled: string[]): Promise<void> {
  const root = cgroups.parents.memory;
  const wordsOf = async (file: string): Promise<string[]> =>
    (await readFile(join(root, file), 'utf8')).split(/\s+/);
  const [handedOn, offered] = [
    await wordsOf('cgroup.subtree_control'),
    await wordsOf('cgroup.controllers'),
  ];
  const wanted = offered.includes('io') ? [...CONTROLLERS, 'io'] : CONTROLLERS;
  const missing = wanted.filter((controller) => !handedOn.includes(controller));
  await setControllers(root, '+', missing);
  enabled.push(...missing);
}

async function setControllers(
  root: string,
  sign: '+' | '-',
  controllers: readonly string[],
): Promise<void> {
  if (controllers.length === 0) return;
  const words = controllers.map((controller) => `${sign}${controller}`).join(' ');
  await writeFile(join(root, 'cgroup.subtree_control'), words);
}

async function listCandidates(): Promise<Cgroups[]> {
  const [mounts, own] = await Promise.all([
    readFile('/proc/self/mountinfo', 'utf8'),
    readFile('/proc/self/cgroup', 'utf8'),
  ]);
  return parseCandidates(mounts, own);
}

/**
 * Pure: from /proc/self/mountinfo and /proc/self/cgroup (cgroups(7)) to what may be tried, the best
 * first. A hierarchy of version 2 without our controllers is found out when they are enabled.
 */
export function parseCandidates(mountInfo: string, ownGroups: string): Cgroups[] {
  const mounts = mountInfo.split('\n').flatMap((line) => {
    const [before, after] = line.split(' - ');
    const [type, , options = ''] = (after ?? '').split(' ');
    const [, , , root = '/', place] = (before ?? '').split(' ');
    if (place === undefined || (type !== 'cgroup' && type !== 'cgroup2')) return [];
    return [{ type, root, place: unescapeOctal(place), options: options.split(',') }];
  });
  const candidates: Cgroups[] = [];
  const unified = mounts.find(({ type }) => type === 'cgroup2')?.place;
  if (unified !== undefined) {
    candidates.push({ version: 2, parents: { memory: unified, cpu: unified, pids: unified } });
  }
  const parentOf = (controller: string): string | undefined => {
    const mount = mounts.find(
      ({ type, options }) => type === 'cgroup' && options.includes(controller),
    );
    const own = ownGroups
      .split('\n')
      .map((line) => line.split(':'))
      .find(([, controllers]) => controllers?.split(',').includes(controller))?.[2];
    if (mount === undefined || own === undefined) return undefined;
    return resolve(mount.place, `./${pathFrom(mount.root, own)}`);
  };
  const [memory, cpu, pids] = CONTROLLERS.map(parentOf);
  const io = parentOf('blkio');
  if (memory !== undefined && cpu !== undefined && pids !== undefined) {
    const disks = io === undefined ? {} : { io };
    candidates.push({ version: 1, parents: { memory, cpu, pids }, ...disks });
  }
  return candidates;
}

/** Our group as seen from the mount: a container may mount only its own part of a hierarchy. */
const pathFrom = (root: string, own: string): string =>
  own === root || own.startsWith(`${root.replace(/\/$/, '')}/`) ? own.slice(root.length) : '';

const unescapeOctal = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)));
