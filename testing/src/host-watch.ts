/**
 * What a constellation leaves on its host, looked for without asking it: processes, sockets, mounts
 * and files. Processes are found by descent from this one and by naming the directory in their
 * arguments, environment or place, so that neither a lost parent nor another name hides them. Of a
 * sandbox that is known by its id whatever carries that, of any kind, by the looks of `onejob prove`.
 */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { globalAgent } from 'node:http';
import { join } from 'node:path';
import { afterEach, beforeEach } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { contentSearch, findRemains } from '@onejob/prove';

/** The kernel takes apart what was killed, and the event loop closes sockets, some turns later. */
const SETTLE_MS = 10_000;
const POLL_MS = 20;

/** Call once at the top of a test file: after each test, this process's host is as it was before. */
export function checkHostAfterEach(): void {
  let before: string[] = [];
  beforeEach(() => {
    before = ofThisProcess();
  });
  afterEach(async () => {
    globalAgent.destroy(); // idle connections to an API, which it would keep for seconds
    await assertSoon(() => without(ofThisProcess(), before), 'left behind by this test');
  });
}

/** Of these each thing carries the id of its sandbox, whoever made it and wherever it lies. */
const CARRYING_ID = [
  ...(['process', 'socket', 'group', 'user', 'mount'] as const),
  ...(['interface', 'packet-rules', 'network'] as const),
];

/** Every sandbox id in it: in lines of a journal, say, or in names of journals. */
export const sandboxIdsIn = (text: string): string[] => [
  ...new Set(text.match(/\bsb[0-9a-f]{16}\b/g)),
];

/**
 * Asserts that no sandbox of the agent with this state directory is there, while the agent and its
 * control plane may still run. And that nothing on the host carries one of these ids: what no agent
 * would claim is found so, too, and what is another test's is not.
 */
export async function assertBuried(
  stateDirectory: string,
  sandboxIds: readonly string[] = [],
): Promise<void> {
  const left = (): string[] => [
    ...ofSandboxes(stateDirectory),
    ...['sandboxes', 'journals', 'kept'].flatMap((name) => filesBelow(join(stateDirectory, name))),
  ];
  await assertSoon(left, 'left of buried sandboxes');
  for (const id of sandboxIds) await assertSoon(async () => await carrying(id), `carrying ${id}`);
}

async function carrying(sandboxId: string): Promise<string[]> {
  const content = contentSearch('', { dataDirectory: '', cacheDirectory: undefined });
  const search = { dataDirectory: '', sandboxId, content, files: new Set<string>() };
  const found: string[] = [];
  for (const kind of CARRYING_ID) {
    const what = await findRemains(kind, { ...search, engine: undefined });
    if (what !== '') found.push(`${kind}: ${what}`);
  }
  return found;
}

/**
 * What runs or is held for sandboxes of the agent with this state directory. A monitor in a root
 * directory of its own names no path of the host: it is known by the agent's marker (as
 * `completeConfig` makes it), which is also in the names of users that are taken.
 */
export function ofSandboxes(stateDirectory: string): string[] {
  const marker = createHash('sha256').update(stateDirectory).digest('hex').slice(0, 16);
  const marked = listProcesses().filter(({ pid }) =>
    readOr('', () => readFileSync(`/proc/${pid}/environ`, 'utf8'))
      .split('\0')
      .includes(`ONEJOB_HOST=${marker}`),
  );
  const users = readdirSync('/run').filter((name) =>
    readOr('', () => readlinkSync(join('/run', name))).startsWith(`${marker}/`),
  );
  const named = naming(join(stateDirectory, 'sandboxes'));
  const held = users.map((name) => `user ${name}`);
  return [...new Set([...named, ...marked.map(show)]), ...held];
}

/** Every file below a directory, as full paths; empty where there is none. */
export function filesBelow(directory: string): string[] {
  try {
    const names = readdirSync(directory, { recursive: true, encoding: 'utf8' });
    return names.map((name) => join(directory, name));
  } catch {
    return [];
  }
}

export type HostProcess = { pid: number; parent: number; commandLine: string };

/** Every living process but this one. */
export function listProcesses(): HostProcess[] {
  return readdirSync('/proc').flatMap((name): HostProcess[] => {
    if (!/^\d+$/.test(name) || Number(name) === process.pid) return [];
    try {
      const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
      const [state, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (state === 'Z' || state === 'X') return [];
      const commandLine = readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ');
      return [{ pid: Number(name), parent: Number(parent), commandLine }];
    } catch {
      return []; // ended meanwhile
    }
  });
}

/** Processes, sockets and mounts that name this path. */
export function naming(path: string): string[] {
  const processes = listProcesses().filter(
    ({ pid, commandLine }) =>
      commandLine.includes(path) ||
      readOr('', () => readFileSync(`/proc/${pid}/environ`, 'utf8')).includes(path) ||
      readOr('', () => readlinkSync(`/proc/${pid}/cwd`)).startsWith(path),
  );
  const lines = ['/proc/net/unix', '/proc/self/mountinfo'].flatMap((file) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .filter((line) => line.includes(path)),
  );
  return [...processes.map(show), ...lines];
}

/** Most memory a process ever had in RAM, bytes; 0 when it is gone. */
export function peakMemoryBytes(pid: number): number {
  const status = readOr('', () => readFileSync(`/proc/${pid}/status`, 'utf8'));
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1] ?? 0) * 1024;
}

const show = ({ pid, commandLine }: HostProcess): string => `process ${pid} ${commandLine}`;

function ofThisProcess(): string[] {
  const all = listProcesses();
  const below = (pid: number): HostProcess[] =>
    all.filter((one) => one.parent === pid).flatMap((one) => [one, ...below(one.pid)]);
  const handles = process
    .getActiveResourcesInfo()
    .filter((kind) => /Pipe|Socket|Server|ProcessWrap|FSEvent/.test(kind));
  return [...handles, ...below(process.pid).map(show)];
}

/** What is in `all` more often than in `known`. */
function without(all: readonly string[], known: readonly string[]): string[] {
  const left = [...all];
  for (const one of known) {
    const at = left.indexOf(one);
    if (at >= 0) left.splice(at, 1);
  }
  return left;
}

async function assertSoon(look: () => string[] | Promise<string[]>, what: string): Promise<void> {
  const deadline = performance.now() + SETTLE_MS;
  for (;;) {
    const left = await look();
    if (left.length === 0) return;
    if (performance.now() > deadline) assert.deepEqual(left, [], what);
    await sleep(POLL_MS);
  }
}

function readOr<T>(otherwise: T, read: () => T): T {
  try {
    return read();
  } catch {
    return otherwise; // ended meanwhile, or another user's
  }
}
