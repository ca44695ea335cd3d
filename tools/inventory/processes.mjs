/**
 * The processes of this machine, and which of them a run has started.
 *
 * A machine is shared: others start processes while we run, so "new" alone says nothing. What a run
 * starts carries a mark: an odd soft limit for POSIX message queues (which nothing here uses). A limit
 * is inherited by every child and survives what processes do to get away: an emptied environment, a
 * session of their own, another user, the death of their parent. Everybody may read it in /proc.
 */

import { randomInt } from 'node:crypto';
import { readFileSync, readdirSync, readlinkSync } from 'node:fs';

const KERNEL_THREAD_FLAG = 0x00200000;
/** O_WRONLY and O_RDWR. */
const ACCESS_MODES = 3;
/** Below the usual limit of 819200 bytes, so that everybody may set it. */
const MARK_RANGE = [300_000, 800_000];

/** @typedef {{ pid: number, startTicks: string, command: string, isMarked: boolean }} Process */

export function newMark() {
  return randomInt(MARK_RANGE[0], MARK_RANGE[1]);
}

/**
 * The command line that runs `argv` with the mark.
 * @param {number} mark @param {string[]} argv
 */
export function markedCommand(mark, argv) {
  return ['bash', '-c', `ulimit -S -q ${mark} && exec "$@"`, 'bash', ...argv];
}

/** @param {string} file */
function readOr(file) {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}

/**
 * The process of this number; undefined for a kernel thread (the kernel's own) and for a zombie, which
 * holds nothing but its number until its parent reads its end.
 * @param {number} pid @param {number} mark @returns {Process | undefined}
 */
function readProcess(pid, mark) {
  const stat = readOr(`/proc/${pid}/stat`);
  if (stat === '') return undefined;
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  if ((Number(fields[6]) & KERNEL_THREAD_FLAG) !== 0) return undefined;
  if (fields[0] === 'Z' || fields[0] === 'X') return undefined;
  const name = stat.slice(stat.indexOf('(') + 1, stat.lastIndexOf(')'));
  const limit = /^Max msgqueue size\s+(\d+)/m.exec(readOr(`/proc/${pid}/limits`));
  return {
    pid,
    startTicks: fields[19],
    command: readOr(`/proc/${pid}/cmdline`).replaceAll('\0', ' ').trim() || `[${name}]`,
    isMarked: limit !== null && Number(limit[1]) === mark,
  };
}

/** @param {number} mark @returns {Process[]} */
export function readProcesses(mark) {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => readProcess(Number(pid), mark) ?? []);
}

/** What the open descriptors of a process are, by number; none if we may not look. */
function descriptorsOf(/** @type {number} */ pid) {
  try {
    return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
      try {
        return [{ fd, target: readlinkSync(`/proc/${pid}/fd/${fd}`) }];
      } catch {
        return [];
      }
    });
  } catch {
    return [];
  }
}

/**
 * The inode numbers of the sockets, and the paths of the files open for writing, that a process holds.
 * @param {number} pid
 */
export function holdingsOf(pid) {
  const sockets = [];
  const writtenFiles = [];
  for (const { fd, target } of descriptorsOf(pid)) {
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    if (inode !== undefined) sockets.push(inode);
    if (!target.startsWith('/') || target.startsWith('/dev/')) continue;
    const flags = /^flags:\s+([0-7]+)/m.exec(readOr(`/proc/${pid}/fdinfo/${fd}`))?.[1] ?? '0';
    if ((Number.parseInt(flags, 8) & ACCESS_MODES) !== 0) writtenFiles.push(target);
  }
  return { sockets, writtenFiles };
}

/**
 * The namespaces a process is in, e.g. `net:[4026531840]`.
 * @param {number} pid
 */
export function namespacesOf(pid) {
  try {
    return readdirSync(`/proc/${pid}/ns`).flatMap((name) => {
      try {
        return readlinkSync(`/proc/${pid}/ns/${name}`);
      } catch {
        return [];
      }
    });
  } catch {
    return [];
  }
}
