/**
 * What there is on a machine, as sets of names by kind, and its files. Knows the kernel and no name of
 * onejob.
 *
 * A machine is shared, and what others do at the same time is not the run's. It is told apart so:
 * processes do not carry the run's mark; sockets, namespaces, control groups, shared memory and files
 * open for writing are held by such a process; places where the services of a machine write, and names
 * of rotated logs, are known (see files.mjs); the rest is for INVENTORY_IGNORE to name.
 *
 * Left out, with reasons: kernel threads and zombies (see processes.mjs); unnamed sockets and what
 * else dies with its process (the process is in the list); what others hold.
 */

import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import { compareFiles, isWithin, readFiles } from './files.mjs';
import { readLoopDevices, readModules, readSystemVIpc, readUsers } from './kernel.mjs';
import { linesOf } from './lines.mjs';
import { readNetwork, readPacketRules, readRouting } from './network.mjs';
import { changedPackages, explainedByPackages } from './package-changes.mjs';
import { holdingsOf, namespacesOf, readProcesses } from './processes.mjs';

/**
 * @typedef {object} Scope
 * @property {number} mark
 * @property {string} below files are looked at below this directory
 * @property {string} home a settled place, wherever it lies
 * @property {(path: string) => boolean} isIgnored paths that are not looked into
 */

const CGROUP_ROOT = '/sys/fs/cgroup';

/** @param {Scope['isIgnored']} isIgnored */
function readMounts(isIgnored) {
  return linesOf('/proc/self/mountinfo').flatMap((line) => {
    const [left, right = ''] = line.split(' - ');
    const point = left.split(' ')[4];
    return isWithin(point, isIgnored)
      ? []
      : [`${point} (${right.split(' ').slice(0, 2).join(' ')})`];
  });
}

/** Namespaces that are kept by a mount and not by a process, e.g. `net:[4026532009]`. */
function keptNamespaces() {
  return linesOf('/proc/self/mountinfo')
    .filter((line) => line.includes(' - nsfs '))
    .map((line) => line.split(' ')[3]);
}

function readCgroups() {
  const found = [];
  const visit = (/** @type {string} */ directory) => {
    let entries = [];
    try {
      entries = readdirSync(directory, { withFileTypes: true });
    } catch {
      return;
    }
    for (const entry of entries) {
      if (!entry.isDirectory()) continue;
      found.push(path.join(directory, entry.name));
      visit(path.join(directory, entry.name));
    }
  };
  visit(CGROUP_ROOT);
  return found;
}

/** The directories in which our own control groups and those above them lie, but for the roots. */
function cgroupNeighbourhoods() {
  const found = new Set();
  for (const line of linesOf('/proc/self/cgroup')) {
    const [, controllers, group] = line.split(':');
    const hierarchies = controllers.split(',').map((name) => name.replace('name=', ''));
    for (const hierarchy of ['', 'unified', controllers, ...hierarchies]) {
      const top = path.join(CGROUP_ROOT, hierarchy);
      for (
        let dir = path.dirname(path.join(top, group));
        dir.length > top.length;
        dir = path.dirname(dir)
      ) {
        found.add(dir);
      }
    }
  }
  return found;
}

/** @param {string} cgroup */
function membersOfCgroup(cgroup) {
  try {
    return readFileSync(path.join(cgroup, 'cgroup.procs'), 'utf8').split('\n').filter(Boolean);
  } catch {
    return [];
  }
}

/** Named Unix sockets, listening TCP and bound UDP sockets: name and inode. */
function readSockets() {
  const unix = linesOf('/proc/net/unix')
    .slice(1)
    .flatMap((line) => {
      const fields = line.trim().split(/\s+/);
      return fields[7] === undefined
        ? []
        : [{ name: `unix ${fields.slice(7).join(' ')}`, inode: fields[6] }];
    });
  const internet = ['tcp', 'tcp6', 'udp', 'udp6'].flatMap((protocol) =>
    linesOf(`/proc/net/${protocol}`)
      .slice(1)
      .flatMap((line) => {
        const fields = line.trim().split(/\s+/);
        const isListening = protocol.startsWith('udp') || fields[3] === '0A';
        if (!isListening) return [];
        const port = Number.parseInt(fields[1].split(':')[1], 16);
        return [{ name: `${protocol} port ${port} (${fields[1]})`, inode: fields[9] }];
      }),
  );
  return [...unix, ...internet];
}

/** @typedef {Record<string, Set<string>>} Kinds names by kind, without those that cannot be read here */
/**
 * @typedef {object} Snapshot
 * @property {Kinds} kinds everything but files
 * @property {import('./files.mjs').Files} files
 * @property {Set<string>} writtenByOthers files that a process of others has open for writing
 */

/** @param {Scope} scope @returns {Snapshot} */
export function takeSnapshot(scope) {
  const processes = readProcesses(scope.mark);
  const foreign = processes.filter((one) => !one.isMarked);
  const foreignHoldings = foreign.map(({ pid }) => holdingsOf(pid));
  const foreignInodes = new Set(foreignHoldings.flatMap(({ sockets }) => sockets));
  const foreignNamespaces = new Set(foreign.flatMap(({ pid }) => namespacesOf(pid)));
  const marked = processes.filter((one) => one.isMarked);
  const markedPids = new Set(marked.map(({ pid }) => String(pid)));
  const neighbourhoods = cgroupNeighbourhoods();
  const cgroups = readCgroups().filter((cgroup) => {
    const members = membersOfCgroup(cgroup);
    if (members.length === 0) return !neighbourhoods.has(path.dirname(cgroup));
    return members.some((pid) => markedPids.has(pid));
  });
  const namespaces = [...marked.flatMap(({ pid }) => namespacesOf(pid)), ...keptNamespaces()];
  const sockets = readSockets().filter(({ inode }) => !foreignInodes.has(inode));
  const kinds = {
    processes: marked.map(({ pid, command }) => `${pid} ${command.slice(0, 300)}`),
    mounts: readMounts(scope.isIgnored),
    network: readNetwork(),
    routing: readRouting(),
    namespaces: namespaces.filter((one) => !foreignNamespaces.has(one)),
    'packet filter rules': readPacketRules(),
    'control groups': cgroups,
    sockets: sockets.map(({ name }) => name),
    'System V IPC': readSystemVIpc(new Set(foreign.map(({ pid }) => pid))),
    'loop devices': readLoopDevices((file) => isWithin(file, scope.isIgnored)),
    'kernel modules': readModules(),
    users: readUsers(),
  };
  return {
    kinds: Object.fromEntries(
      Object.entries(kinds).flatMap(([kind, names]) =>
        names === undefined ? [] : [[kind, new Set(names)]],
      ),
    ),
    files: readFiles(scope),
    writtenByOthers: new Set(foreignHoldings.flatMap(({ writtenFiles }) => writtenFiles)),
  };
}

/** Kinds of which also what vanished is the run's doing; of the others a holder may just have ended. */
const LASTING = new Set(['mounts', 'network', 'routing', 'packet filter rules', 'users']);

/** @param {Kinds} before @param {Kinds} after */
function compareKinds(before, after) {
  const known = Object.keys(after).filter((kind) => kind in before);
  return known.flatMap((kind) => {
    const added = [...after[kind]].filter((name) => !before[kind].has(name));
    const removed = [...before[kind]].filter((name) => LASTING.has(kind) && !after[kind].has(name));
    return [
      ...added.map((name) => ({ kind, name, line: `${kind}: + ${name}` })),
      ...removed.map((name) => ({ kind, name, line: `${kind}: - ${name}` })),
    ];
  });
}

/** Users and groups below this number belong to packages (Debian policy 9.2.2). */
const FIRST_USER_OF_PEOPLE = 1000;

/** @param {string} name e.g. `user postgres:x:105:110:...` */
function isSystemUser(name) {
  return Number(name.split(':')[2]) < FIRST_USER_OF_PEOPLE;
}

function isAlternative(/** @type {string} */ file) {
  try {
    return readlinkSync(file).startsWith('/etc/alternatives/');
  } catch {
    return false;
  }
}

/**
 * One line for each thing that appeared, changed, or vanished and should not have. What the
 * installation of a package explains is one line, the package's, and none if packages `mayInstall`.
 * @param {Snapshot} before @param {Snapshot} after @param {{ mayInstall: boolean }} options
 * @returns {string[]}
 */
export function compareSnapshots(before, after, { mayInstall }) {
  const packages = changedPackages(before.files, after.files);
  const isExplained = explainedByPackages(packages, { isAlternative });
  const isExcused = (/** @type {string} */ file) =>
    before.writtenByOthers.has(file) || after.writtenByOthers.has(file) || isExplained(file);
  const kinds = compareKinds(before.kinds, after.kinds).filter(
    ({ kind, name }) => !(packages.length > 0 && kind === 'users' && isSystemUser(name)),
  );
  return [
    ...kinds.map(({ line }) => line),
    ...(mayInstall ? [] : packages.map((name) => `Debian packages: + ${name}`)),
    ...compareFiles(before.files, after.files, isExcused).map((line) => `files: ${line}`),
  ];
}
