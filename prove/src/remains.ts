/** Looks on the host for what is of a sandbox, while it runs and afterwards, without asking the agent. */
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Remains } from './attack.ts';
import { findContent, type ContentSearch } from './content.ts';
import type { Observation } from './judge.ts';
import { CONTENT_RESTS, LOOK_MS, OBSERVED_CHARACTERS, SETTLE_MS } from './limits.ts';
import { CONTAINERS } from './scene/container-engine.ts';
import { tryScript } from './scene/tools.ts';

export type Search = {
  /** Of the platform. */
  dataDirectory: string;
  sandboxId: string;
  /** What the job wrote to its disk. */
  content: ContentSearch;
  /** Files that were in its directory while it ran, by device and inode: they have no name afterwards. */
  files: Set<string>;
  /** Of the proof's own; undefined: its driver has none. */
  engine: Engine | undefined;
};

/** What a container engine keeps of the sandbox is there under names of its own. */
type Engine = {
  directory: string;
  /** That the sandbox's container and its layer had, seen while it was there. */
  names: Set<string>;
  /** When the container was made, milliseconds of the epoch: what it wrote is younger. Infinity: it was not seen. */
  firstAtMs: number;
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
      if (found.has(kind) || (kind === 'content' && rests(search.content))) continue;
      const startedMs = performance.now();
      const what = await findRemains(kind, search);
      if (what !== '') found.set(kind, what);
      if (kind === 'content' && !end.aborted) noteLook(search.content, startedMs);
    }
    await sleep(LOOK_MS, undefined, { signal: end }).catch(() => {});
  }
}

/** Before the job has written there is nothing to find; after a whole look the next one takes its time. */
const rests = ({ isWritten, restUntilMs }: ContentSearch): boolean =>
  !isWritten || performance.now() < restUntilMs;

/** One that the job outlived. */
function noteLook(content: ContentSearch, startedMs: number): void {
  if (content.missed !== '') return;
  content.isLookedThrough = true;
  const now = performance.now();
  content.restUntilMs = now + CONTENT_RESTS * (now - startedMs);
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
  const { content } = search;
  const untold = content.missed || 'its job ended before every place was looked through';
  for (const kind of kinds) {
    if (kind === 'content' && !content.isWritten) {
      const nothing: Observation = {
        outcome: 'not tried',
        why: 'the job did not say that it wrote',
      };
      remainders.set(kind, { before: nothing, after: nothing });
      continue;
    }
    let left = await findRemains(kind, search);
    while (left !== '' && performance.now() < deadline) {
      await sleep(LOOK_MS);
      left = await findRemains(kind, search);
    }
    const before = tell(found.get(kind) ?? '');
    const isSeen = kind !== 'content' || found.has(kind) || content.isLookedThrough;
    const isSeenAfter = kind !== 'content' || left !== '' || content.missed === '';
    remainders.set(kind, {
      before: isSeen ? before : { outcome: 'not tried', why: untold },
      after: isSeenAfter ? tell(left) : { outcome: 'not tried', why: content.missed },
    });
  }
  return remainders;
}

/** What is found of one kind; nothing: an empty text. */
export async function findRemains(kind: Remains, search: Search): Promise<string> {
  const { dataDirectory, sandboxId, engine } = search;
  const agent = join(dataDirectory, 'agent');
  if (engine !== undefined) learnNames(engine, sandboxId);
  const names = [sandboxId, ...(engine?.names ?? [])];
  switch (kind) {
    case 'process':
      return ofProcesses(names);
    case 'descriptor':
      return ofDescriptors(join(agent, 'sandboxes', sandboxId), search.files);
    case 'socket':
      return ofSockets(sandboxId);
    case 'directory':
      return named(join(agent, 'sandboxes'), sandboxId);
    case 'journal':
      return named(join(agent, 'journals'), sandboxId);
    case 'content':
      return await ofContent(search);
    case 'group':
      return directoriesNamed('/sys/fs/cgroup', names, GROUP_LEVELS).join(', ');
    case 'user':
      return ofUsers(sandboxId);
    case 'mount':
      return ofMounts(names);
    case 'container':
      return directoriesNamed(engine?.directory ?? '', names, ENGINE_LEVELS).join(', ');
    case 'interface':
      return ofInterfaces(sandboxId);
    case 'packet-rules':
      return await ofPacketRules(sandboxId);
    case 'network':
      return named('/run/netns', sandboxId);
  }
}

const hasOne = (text: string, names: readonly string[]): boolean =>
  names.some((name) => text.includes(name));

const pids = (): string[] => readdirSync('/proc').filter((name) => /^\d+$/.test(name));

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return ''; // gone meanwhile, or another user's
  }
}

function ofProcesses(names: readonly string[]): string {
  const found = pids().filter((pid) =>
    ['environ', 'cmdline'].some((file) => hasOne(read(`/proc/${pid}/${file}`), names)),
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
/** The data of an engine (`image/overlay2/layerdb/mounts/<container>`), or what it has of one that runs. */
const ENGINE_LEVELS = 6;

function directoriesNamed(directory: string, names: readonly string[], levels: number): string[] {
  if (levels === 0) return [];
  return directoriesIn(directory).flatMap((name) => {
    const path = join(directory, name);
    return hasOne(name, names) ? [path] : directoriesNamed(path, names, levels - 1);
  });
}

/** The container whose settings name the sandbox, and the layer that its engine made for it. */
function learnNames(engine: Engine, sandboxId: string): void {
  const containers = join(engine.directory, CONTAINERS);
  for (const id of directoriesIn(containers)) {
    if (engine.names.has(id)) continue;
    const directory = join(containers, id);
    if (!read(join(directory, 'config.v2.json')).includes(sandboxId)) continue;
    engine.names.add(id);
    const made = statSync(directory, { throwIfNoEntry: false })?.birthtimeMs ?? 0;
    engine.firstAtMs = Math.min(engine.firstAtMs, made);
    for (const place of directoriesNamed(engine.directory, [id], ENGINE_LEVELS)) {
      const layer = read(join(place, 'mount-id'));
      if (layer !== '') engine.names.add(layer);
    }
  }
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
function ofMounts(names: readonly string[]): string {
  const found = pids().filter((pid) => hasOne(read(`/proc/${pid}/mountinfo`), names));
  return found.length === 0 ? '' : `mounts in the namespace of process ${found.join(', ')}`;
}

const linesWith = (path: string, word: string): string =>
  read(path)
    .split('\n')
    .filter((line) => line.includes(word))
    .map((line) => line.split(' ').at(-1))
    .join(', ');

const named = (directory: string, sandboxId: string): string =>
  namesIn(directory)
    .filter((name) => name.includes(sandboxId))
    .map((name) => join(directory, name))
    .join(', ');

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** Of the host's network namespace; a name is short, and holds as much of the id as fits in it. */
function ofInterfaces(sandboxId: string): string {
  const all = namesIn('/sys/class/net');
  const found = all.filter(
    (name) =>
      name.includes(shortened(sandboxId)) ||
      read(`/sys/class/net/${name}/ifalias`).includes(sandboxId),
  );
  return found.join(', ');
}

/** Interface names have at most 15 characters, of which two say whose kind they are. */
const shortened = (sandboxId: string): string => sandboxId.slice(2, 15);

/** Tables for the sandbox, and rules of any table that name its interface. */
async function ofPacketRules(sandboxId: string): Promise<string> {
  const lines = (await tryScript('nft list ruleset')).split('\n');
  return lines
    .filter((line) => hasOne(line, [sandboxId, shortened(sandboxId)]))
    .map((line) => line.trim())
    .join(', ');
}

/** Of an engine's files those that changed since the container was made: the rest is images, and large. */
async function ofContent({ content, engine }: Search): Promise<string> {
  const sinceMs = engine === undefined || engine.firstAtMs === Infinity ? 0 : engine.firstAtMs;
  const ofEngine = engine && { directory: engine.directory, sinceMs, crosses: false };
  const sight = await findContent(content, ofEngine === undefined ? [] : [ofEngine]);
  content.missed = sight.missed;
  return sight.what;
}
