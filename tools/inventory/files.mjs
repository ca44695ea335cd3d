/**
 * The files of a machine: every name outside the pseudo file systems, with what tells a change.
 *
 * Places are of two kinds. *Settled* ones (/etc, /usr, /opt, /boot, the home directory, whatever else
 * there is) change by somebody's hand only: a new, a vanished and a changed file all count; changed
 * means another size, time, inode, mode or owner. *Shared* ones are where the services of a machine
 * write all the time: only new names count there.
 *
 * Not looked into, with reasons: file systems of the kernel, of the network and read-only ones, with
 * what is mounted below them (nothing of a run can stay there, or others write there); what keeps
 * the containers and machines of others; directories of systemd's private temporary files.
 * Not counted: what a process of others has open for writing, and the names that logs get when they
 * are rotated, the journal's files among them.
 */

import { lstatSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

/** @typedef {Map<string, string>} Files stamp by path; the stamp is empty where only the name counts */

/** Two lists of so many files still fit into the memory of a small machine. */
const ENTRY_LIMIT = 2_000_000;
const SHARED = [
  ...['/tmp', '/var/tmp', '/dev', '/run'],
  ...['/var/backups', '/var/cache', '/var/lib', '/var/log', '/var/mail', '/var/spool'],
];
/** Within a shared place, but written by nothing except an installation: it shows what was installed. */
const PACKAGE_LISTS = '/var/lib/dpkg/info';
const OF_OTHERS = new Set([
  ...['/var/lib/docker', '/var/lib/containerd', '/var/lib/containers', '/var/lib/kubelet'],
  ...['/var/lib/libvirt', '/var/lib/lxc', '/var/lib/lxd'],
]);
const KERNEL_FILE_SYSTEMS = [
  ...['proc', 'sysfs', 'cgroup', 'cgroup2', 'devpts', 'securityfs', 'debugfs', 'tracefs', 'bpf'],
  ...['pstore', 'efivarfs', 'binfmt_misc', 'configfs', 'fusectl', 'hugetlbfs', 'selinuxfs', 'nsfs'],
];
const NETWORK_FILE_SYSTEM = /^(nfs\d?|cifs|smb3|9p|virtiofs|ceph|autofs|rpc_pipefs|fuse\..*|fuse)$/;
const SYSTEMD_PRIVATE = /\/systemd-private-/;
const ROTATED = /^\/var\/log\/(journal\/|.*(\.\d+|\.old|-\d{8})(\.(gz|xz|zst|bz2))?$)/;

/** The mount points whose contents say nothing about a run. */
function unreadableMounts() {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').trimEnd().split('\n');
  const found = lines.flatMap((line) => {
    const [left, right = ''] = line.split(' - ');
    const [, , , , point, options] = left.split(' ');
    const [type] = right.split(' ');
    const isReadOnly = options.split(',').includes('ro');
    const isLeftOut =
      isReadOnly || KERNEL_FILE_SYSTEMS.includes(type) || NETWORK_FILE_SYSTEM.test(type);
    return isLeftOut && point !== '/' ? [point.replaceAll('\\040', ' ')] : [];
  });
  return new Set(found);
}

/** @param {import('node:fs').Stats} stat */
function stampOf(stat) {
  const { ino, uid, gid } = stat;
  const owner = `inode ${ino}, mode ${stat.mode.toString(8)}, owner ${uid}:${gid}`;
  // A directory's own size and time change with its entries, which are looked at one by one.
  if (stat.isDirectory()) return owner;
  return `${stat.size} bytes of ${new Date(stat.mtimeMs).toISOString()}, ${owner}`;
}

/**
 * Whether the path or a directory above it is ignored.
 * @param {string} file @param {(path: string) => boolean} isIgnored
 * @returns {boolean}
 */
export function isWithin(file, isIgnored) {
  return isIgnored(file) || (file.length > 1 && isWithin(path.dirname(file), isIgnored));
}

/** @param {string} file @param {string} directory */
function isBelow(file, directory) {
  return directory === '/' || file === directory || file.startsWith(`${directory}/`);
}

/**
 * @param {{ below: string, home: string, isIgnored: (path: string) => boolean }} scope
 * @returns {Files}
 */
export function readFiles({ below, home, isIgnored }) {
  /** @type {Files} */
  const found = new Map();
  const leftOut = unreadableMounts();
  const visit = (/** @type {string} */ directory, /** @type {boolean} */ isSettled) => {
    let names = [];
    try {
      names = readdirSync(directory);
    } catch {
      return;
    }
    for (const name of names) {
      const file = directory === '/' ? `/${name}` : `${directory}/${name}`;
      if (isIgnored(file) || OF_OTHERS.has(file) || SYSTEMD_PRIVATE.test(file)) continue;
      let stat;
      try {
        stat = lstatSync(file);
      } catch {
        continue;
      }
      if (found.size >= ENTRY_LIMIT) {
        throw new Error(
          `There are more than ${ENTRY_LIMIT} files below ${below}: name places to leave out in INVENTORY_IGNORE.`,
        );
      }
      const settled =
        file === home || file === PACKAGE_LISTS || (isSettled && !SHARED.includes(file));
      found.set(file, settled ? stampOf(stat) : '');
      if (stat.isDirectory() && !leftOut.has(file)) visit(file, settled);
    }
  };
  const start = path.resolve(below);
  visit(start, isBelow(start, home) || !SHARED.some((place) => isBelow(start, place)));
  return found;
}

/**
 * One line for each file that appeared (`+`), vanished (`-`) or changed (`~`), but for those
 * `isExcused` knows a reason for. Of a new or vanished directory only the directory is named.
 * @param {Files} before @param {Files} after @param {(path: string) => boolean} isExcused
 * @returns {string[]}
 */
export function compareFiles(before, after, isExcused) {
  const lines = [];
  const isNew = (/** @type {string} */ file) => after.has(file) && !before.has(file);
  const isGone = (/** @type {string} */ file) => before.has(file) && !after.has(file);
  for (const [file, stamp] of after) {
    const old = before.get(file);
    if (old === stamp || isExcused(file)) continue;
    if (old === undefined) {
      const parent = path.dirname(file);
      if (ROTATED.test(file) || (isNew(parent) && !isExcused(parent))) continue;
      lines.push(stamp === '' ? `+ ${file}` : `+ ${file} (${stamp})`);
    } else {
      lines.push(`~ ${file} (was ${old}; is ${stamp})`);
    }
  }
  for (const [file, stamp] of before) {
    if (stamp === '' || after.has(file) || isExcused(file) || isGone(path.dirname(file))) continue;
    lines.push(`- ${file} (${stamp})`);
  }
  return lines;
}
