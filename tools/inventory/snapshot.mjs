/**
 * What there is on a machine, as sets of names by kind. Knows the kernel and no name of onejob.
 *
 * Left out, with reasons: kernel threads and zombies (see processes.mjs); processes that do not carry
 * the run's mark, and the sockets, namespaces and control groups that such a process holds (others
 * work on this machine too); unnamed sockets and what else dies with its process (the process is in
 * the list); contents of files outside the home directory (logs and databases of services change all
 * the time; a new file is seen); directories of systemd's private temporary files.
 */

import { execFileSync } from 'node:child_process';
import { existsSync, lstatSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { namespacesOf, readProcesses, socketInodesOf } from './processes.mjs';

/**
 * @typedef {object} Scope
 * @property {number} mark
 * @property {string[]} directories watched, with everything below
 * @property {string} home of its files also size and time are compared
 * @property {(path: string) => boolean} isIgnored paths that are not looked into
 */

/** A directory with more entries than this is compared by its entries' names only. */
const ENTRY_LIMIT = 500_000;
const SYSTEMD_PRIVATE = /\/systemd-private-/;
const CGROUP_ROOT = '/sys/fs/cgroup';

/** @param {string} file */
function linesOf(file) {
  return existsSync(file) ? readFileSync(file, 'utf8').trimEnd().split('\n') : [];
}

function readMounts() {
  return linesOf('/proc/self/mountinfo').map((line) => {
    const [left, right = ''] = line.split(' - ');
    return `${left.split(' ')[4]} (${right.split(' ').slice(0, 2).join(' ')})`;
  });
}

function readInterfaces() {
  const names = linesOf('/proc/net/dev')
    .slice(2)
    .map((line) => line.split(':')[0].trim());
  const routes = linesOf('/proc/net/route')
    .slice(1)
    .map((line) => {
      const [device, destination, gateway, , , , , mask] = line.split('\t');
      return `route ${destination}/${mask} by ${gateway} on ${device}`;
    });
  return [...names, ...routes];
}

/** Counters and handles change by themselves; what is left is what was configured. */
function readPacketRules() {
  if (!['/usr/sbin/nft', '/sbin/nft', '/usr/bin/nft'].some((file) => existsSync(file))) return [];
  try {
    const options = { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] };
    const text = execFileSync('nft', ['-s', 'list', 'ruleset'], options);
    return text
      .split('\n')
      .map((line) => line.trim())
      .filter((line) => line !== '' && line !== '}');
  } catch {
    return [];
  }
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

/** @param {Scope} scope */
function readFiles(scope) {
  const found = [];
  const visit = (/** @type {string} */ directory, /** @type {boolean} */ withContents) => {
    let names = [];
    try {
      names = readdirSync(directory);
    } catch {
      return;
    }
    for (const name of names) {
      const file = path.join(directory, name);
      if (scope.isIgnored(file) || SYSTEMD_PRIVATE.test(file)) continue;
      if (found.length > ENTRY_LIMIT)
        throw new Error(`more than ${ENTRY_LIMIT} files below ${directory}`);
      let stat;
      try {
        stat = lstatSync(file);
      } catch {
        continue;
      }
      const isPlain = withContents && stat.isFile();
      found.push(isPlain ? `${file} (${stat.size} bytes of ${stat.mtime.toISOString()})` : file);
      if (stat.isDirectory()) visit(file, withContents);
    }
  };
  for (const directory of scope.directories) visit(directory, directory === scope.home);
  return found;
}

/**
 * @typedef {Record<string, Set<string>>} Snapshot names by kind
 * @param {Scope} scope @returns {Snapshot}
 */
export function takeSnapshot(scope) {
  const processes = readProcesses(scope.mark);
  const foreign = processes.filter((one) => !one.isMarked);
  const foreignInodes = new Set(foreign.flatMap(({ pid }) => socketInodesOf(pid)));
  const foreignNamespaces = new Set(foreign.flatMap(({ pid }) => namespacesOf(pid)));
  const marked = processes.filter((one) => one.isMarked);
  const markedPids = new Set(marked.map(({ pid }) => String(pid)));
  const neighbourhoods = cgroupNeighbourhoods();
  const cgroups = readCgroups().filter((cgroup) => {
    const members = membersOfCgroup(cgroup);
    if (members.length === 0) return !neighbourhoods.has(path.dirname(cgroup));
    return members.some((pid) => markedPids.has(pid));
  });
  return {
    processes: new Set(marked.map(({ pid, command }) => `${pid} ${command.slice(0, 300)}`)),
    mounts: new Set(readMounts()),
    'network interfaces': new Set(readInterfaces()),
    namespaces: new Set(
      marked.flatMap(({ pid }) => namespacesOf(pid)).filter((one) => !foreignNamespaces.has(one)),
    ),
    'packet filter rules': new Set(readPacketRules()),
    'control groups': new Set(cgroups),
    sockets: new Set(
      readSockets()
        .filter(({ inode }) => !foreignInodes.has(inode))
        .map(({ name }) => name),
    ),
    files: new Set(readFiles(scope)),
  };
}

/** Kinds of which also what vanished is the run's doing; of the others a holder may just have ended. */
const LASTING = new Set(['mounts', 'network interfaces', 'packet filter rules']);

/**
 * One line for each thing that appeared, or vanished and should not have.
 * @param {Snapshot} before @param {Snapshot} after @param {string} home @returns {string[]}
 */
export function compareSnapshots(before, after, home) {
  // A new directory says it all; what is below it would say it again.
  const isBelowAdded = (/** @type {string} */ kind, /** @type {string} */ name) =>
    kind === 'files' &&
    after[kind].has(path.dirname(name)) &&
    !before[kind].has(path.dirname(name));
  const mayNotVanish = (/** @type {string} */ kind, /** @type {string} */ name) =>
    LASTING.has(kind) || (kind === 'files' && name.startsWith(`${home}/`));
  return Object.keys(after).flatMap((kind) => {
    const added = [...after[kind]].filter(
      (name) => !before[kind].has(name) && !isBelowAdded(kind, name),
    );
    const removed = [...before[kind]].filter(
      (name) => !after[kind].has(name) && mayNotVanish(kind, name),
    );
    return [
      ...added.map((name) => `${kind}: + ${name}`),
      ...removed.map((name) => `${kind}: - ${name}`),
    ];
  });
}
