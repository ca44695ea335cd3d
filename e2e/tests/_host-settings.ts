/**
 * What of a host a proof must not change: its device files, the settings of its kernel, and the tree of
 * its control groups. Read only.
 */
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';

/** They change by themselves, or with every process that starts. */
const RESTLESS =
  /\/(random\/|fs\/(dentry|inode|file|aio)-|pty\/nr|ns_last_pid|perf_event_|dentry-state|inode-state|quota\/|netfilter\/nf_conntrack_count)/;

/** Path to what is there, a line each. */
export function hostSettings(): Map<string, string> {
  const found = new Map<string, string>();
  for (const path of filesBelow('/dev', /^\/dev\/(pts|shm|mqueue|fd)\b/)) {
    const { mode, uid, gid, rdev, ino } = lstatSync(path);
    found.set(path, `mode ${mode.toString(8)}, owner ${uid}:${gid}, device ${rdev}, inode ${ino}`);
  }
  const settings = [
    ...filesBelow('/proc/sys', RESTLESS),
    ...filesBelow('/sys/kernel', /\/(debug|tracing|security|slab|btf|notes|irq|iommu_groups)\b/),
    ...filesBelow('/sys/module', /\/(sections|notes|holders)\//),
    ...readdirSync('/sys/fs/cgroup').map((name) => `/sys/fs/cgroup/${name}/release_agent`),
  ];
  for (const path of settings) {
    const isWritable = (lstatSync(path, { throwIfNoEntry: false })?.mode ?? 0) & 0o200;
    if (isWritable !== 0) found.set(path, textOf(path));
  }
  return found;
}

/** What differs of what was there before, a line each: other work of the host may add things. */
export const changesSince = (before: ReadonlyMap<string, string>): string[] => {
  const now = hostSettings();
  return [...before].flatMap(([path, was]) => {
    const is = now.get(path) ?? 'nothing';
    return is === was ? [] : [`${path}: was ${was}, is ${is}`];
  });
};

function filesBelow(directory: string, left: RegExp): string[] {
  const entries = readdirSync(directory, { withFileTypes: true });
  return entries.flatMap((entry) => {
    const path = join(directory, entry.name);
    if (left.test(path)) return [];
    return entry.isDirectory() ? filesBelow(path, left) : [path];
  });
}

function textOf(path: string): string {
  try {
    return lstatSync(path).isSymbolicLink() ? readlinkSync(path) : readFileSync(path, 'latin1');
  } catch (error) {
    return `unreadable: ${(error as NodeJS.ErrnoException).code ?? 'unknown'}`;
  }
}
