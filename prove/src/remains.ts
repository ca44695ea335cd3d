/** Looks on the host for what is of a sandbox, while it runs and afterwards, without asking the agent. */
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Remains } from './attack.ts';
import type { Observation } from './judge.ts';
import { LOOK_MS, OBSERVED_CHARACTERS, SETTLE_MS } from './limits.ts';
import { tryScript } from './scene/tools.ts';

export type Search = {
  /** Of the platform. */
  dataDirectory: string;
  sandboxId: string;
  /** What the job wrote to its disk. */
  content: string;
  /** Files that were in its directory while it ran, by device and inode: they have no name afterwards. */
  files: Set<string>;
};

export type Remainder = { before: Observation; after: Observation };

/** Looks again and again while the sandbox runs: each kind is found at some time, or is not there. */
export async function watchRemains(
  kinds: readonly Remains[],
  search: Search,
  found: Map<Remains, string>,
  end: AbortSignal,
): Promise<void> {
  while (!end.aborted && kinds.some((kind) => !found.has(kind))) {
    for (const kind of kinds) {
      const what = found.has(kind) ? '' : await findRemains(kind, search);
      if (what !== '') found.set(kind, what);
    }
    await sleep(LOOK_MS, undefined, { signal: end }).catch(() => {});
  }
}

/** What is still there after the kernel had time to take apart what was killed. */
export async function lookAfter(
  kinds: readonly Remains[],
  search: Search,
  found: ReadonlyMap<Remains, string>,
): Promise<Map<Remains, Remainder>> {
  const remainders = new Map<Remains, Remainder>();
  if (search.sandboxId === '') return remainders;
  const tell = (what: string): Observation =>
    what === ''
      ? { outcome: 'stopped', seen: 'nothing was found' }
      : { outcome: 'through', seen: what.slice(0, OBSERVED_CHARACTERS) };
  const deadline = performance.now() + SETTLE_MS;
  for (const kind of kinds) {
    let left = await findRemains(kind, search);
    while (left !== '' && performance.now() < deadline) {
      await sleep(LOOK_MS);
      left = await findRemains(kind, search);
    }
    remainders.set(kind, { before: tell(found.get(kind) ?? ''), after: tell(left) });
  }
  return remainders;
}

/** What is found of one kind; nothing: an empty text. */
async function findRemains(kind: Remains, search: Search): Promise<string> {
  const { dataDirectory, sandboxId, content } = search;
  const agent = join(dataDirectory, 'agent');
  switch (kind) {
    case 'process':
      return ofProcesses(sandboxId);
    case 'descriptor':
      return ofDescriptors(join(agent, 'sandboxes', sandboxId), search.files);
    case 'socket':
      return ofSockets(sandboxId);
    case 'directory':
      return named(join(agent, 'sandboxes'), sandboxId);
    case 'journal':
      return named(join(agent, 'journals'), sandboxId);
    case 'content':
      return await withContent(agent, content);
    case 'group':
      return groupsNamed('/sys/fs/cgroup', sandboxId, GROUP_LEVELS).join(', ');
    case 'user':
      return ofUsers(sandboxId);
    case 'mount':
      return ofMounts(sandboxId);
  }
}

const pids = (): string[] => readdirSync('/proc').filter((name) => /^\d+$/.test(name));

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return ''; // gone meanwhile, or another user's
  }
}

function ofProcesses(sandboxId: string): string {
  const found = pids().filter((pid) =>
    ['environ', 'cmdline'].some((file) => read(`/proc/${pid}/${file}`).includes(sandboxId)),
  );
  return found.map((pid) => `process ${pid} ${read(`/proc/${pid}/comm`).trim()}`).join(', ');
}

/** Also of files that were removed: who has one open keeps what is in it. */
function ofDescriptors(directory: string, files: Set<string>): string {
  const idOf = (path: string): string => {
    const found = statSync(path, { throwIfNoEntry: false });
    return found?.isFile() === true ? `${found.dev}:${found.ino}` : '';
  };
  for (const entry of filesIn(directory)) if (idOf(entry) !== '') files.add(idOf(entry));
  const found = pids().flatMap((pid) => {
    const descriptors = `/proc/${pid}/fd`;
    try {
      return readdirSync(descriptors)
        .filter((fd) => files.has(idOf(join(descriptors, fd))))
        .map((fd) => `${pid}: ${readlinkSync(join(descriptors, fd))}`);
    } catch {
      return [];
    }
  });
  return found.length === 0 ? '' : `open in process ${found.join(', ')}`;
}

function filesIn(directory: string): string[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isFile()).map(({ name }) => join(directory, name));
  } catch {
    return [];
  }
}

/** A connection is seen in the network namespace of who made it: of the monitor, say. */
function ofSockets(sandboxId: string): string {
  const seen = new Map<string, string>();
  for (const pid of pids()) {
    const namespace = networkOf(pid);
    if (!seen.has(namespace)) seen.set(namespace, `/proc/${pid}/net/unix`);
  }
  return [...seen.values()]
    .map((path) => linesWith(path, sandboxId))
    .filter(Boolean)
    .join(', ');
}

function networkOf(pid: string): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return '';
  }
}

/** A hierarchy, the proof's group, a sandbox's. */
const GROUP_LEVELS = 4;

function groupsNamed(directory: string, word: string, levels: number): string[] {
  if (levels === 0) return [];
  return directoriesIn(directory).flatMap((name) => {
    const path = join(directory, name);
    return name.includes(word) ? [path] : groupsNamed(path, word, levels - 1);
  });
}

function directoriesIn(directory: string): string[] {
  try {
    const entries = readdirSync(directory, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch {
    return [];
  }
}

/** Users are taken by a link in /run that says for which sandbox. */
function ofUsers(sandboxId: string): string {
  const links = readdirSync('/run', { withFileTypes: true }).filter((one) => one.isSymbolicLink());
  const taken = links.filter(({ name }) => {
    try {
      return readlinkSync(join('/run', name)).includes(sandboxId);
    } catch {
      return false;
    }
  });
  return taken.map(({ name }) => `/run/${name}`).join(', ');
}

/** In the mount namespace of any process: a file or directory of the sandbox, at its own place or not. */
function ofMounts(sandboxId: string): string {
  const found = pids().filter((pid) => read(`/proc/${pid}/mountinfo`).includes(sandboxId));
  return found.length === 0 ? '' : `mounts in the namespace of process ${found.join(', ')}`;
}

const linesWith = (path: string, word: string): string =>
  read(path)
    .split('\n')
    .filter((line) => line.includes(word))
    .map((line) => line.split(' ').at(-1))
    .join(', ');

function named(directory: string, sandboxId: string): string {
  try {
    return readdirSync(directory)
      .filter((name) => name.includes(sandboxId))
      .map((name) => join(directory, name))
      .join(', ');
  } catch {
    return '';
  }
}

/** Disks are sparse: tar reads what is there, and not the holes. */
async function withContent(directory: string, content: string): Promise<string> {
  const count = await tryScript(
    `tar --sparse --hole-detection=seek --ignore-failed-read -C '${directory}' -cf - . 2>/dev/null | grep -a -c -F '${content}' || true`,
  );
  return Number(count) > 0 ? `the text ${content} below ${directory}` : '';
}
