/**
 * What the kernel keeps for nobody in particular: it stays when every process is gone. System V IPC
 * (POSIX IPC is files: /dev/shm, /dev/mqueue), attached loop devices, modules; and the users and
 * groups that files and processes may belong to.
 */

import { readdirSync } from 'node:fs';
import { linesOf } from './lines.mjs';

/**
 * System V objects by kind, key and number. A shared memory segment knows who made it: one of a
 * living process of others is not the run's.
 * @param {(kind: 'msg' | 'sem' | 'shm') => string[]} read lines of /proc/sysvipc/<kind>
 * @param {ReadonlySet<number>} foreignPids
 */
export function readSystemVIpc(
  foreignPids,
  read = (/** @type {string} */ kind) => linesOf(`/proc/sysvipc/${kind}`),
) {
  return ['msg', 'sem', 'shm'].flatMap((kind) => {
    const [header = '', ...rows] = read(kind);
    const creator = header.trim().split(/\s+/).indexOf('cpid');
    return rows.flatMap((row) => {
      const fields = row.trim().split(/\s+/);
      if (creator >= 0 && foreignPids.has(Number(fields[creator]))) return [];
      return [`System V ${kind} key ${fields[0]} id ${fields[1]}`];
    });
  });
}

/** @param {(path: string) => boolean} isIgnored of the file behind the device */
export function readLoopDevices(isIgnored) {
  return readdirSync('/sys/block')
    .filter((name) => name.startsWith('loop'))
    .flatMap((name) => {
      const [file] = linesOf(`/sys/block/${name}/loop/backing_file`);
      return file === undefined || isIgnored(file) ? [] : [`${name} of ${file}`];
    });
}

export function readModules() {
  return linesOf('/proc/modules').flatMap((line) => line.split(' ')[0] || []);
}

/** Without passwords, which these files have not had for decades. */
export function readUsers() {
  return [
    ...linesOf('/etc/passwd').map((line) => `user ${line}`),
    ...linesOf('/etc/group').map((line) => `group ${line}`),
  ];
}
