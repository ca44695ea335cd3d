/**
 * Interfaces, tables of packet rules and named network namespaces of this host: listed, and deleted by
 * name. Each deletion succeeds where there is nothing to delete.
 */
import { readdirSync, readFileSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentError } from '../errors.ts';
import { changePacketRules, runNetworkTool as run } from './network-tool.ts';
import { findTool, type ToolResult } from './short-tool.ts';

/** The kernel takes some ten milliseconds, and has all that wait go at once. */
const GOING_PATIENCE_MS = 1_000;
const GOING_POLL_MS = 5;
/** Where iproute2 keeps the names of namespaces. */
const NAMESPACES = '/run/netns';

export type Link = { name: string; alias: string };
export type Table = { family: string; name: string };

/** Those with an alias, in our own network namespace. None where ip is not installed. */
export const listLinks = async (): Promise<Link[]> => await showLinks([]);

async function showLinks(which: readonly string[]): Promise<Link[]> {
  if ((await findTool('ip')) === undefined) return [];
  const { exitCode, standardOutput } = await run('ip', ['-json', 'link', 'show', ...which]);
  if (exitCode !== 0) return [];
  const links = JSON.parse(standardOutput || '[]') as { ifname?: unknown; ifalias?: unknown }[];
  return links.flatMap(({ ifname, ifalias }) =>
    typeof ifname === 'string' && typeof ifalias === 'string'
      ? [{ name: ifname, alias: ifalias }]
      : [],
  );
}

/** Only while it still has that alias: a name may have been given to another one since. */
export async function deleteLink({ name, alias }: Link): Promise<void> {
  const isThere = async (): Promise<boolean> =>
    (await showLinks(['dev', name])).some((one) => one.name === name && one.alias === alias);
  if (!(await isThere())) return;
  const result = await run('ip', ['link', 'delete', 'dev', name]);
  if (result.exitCode !== 0 && (await isThere())) throw notDeleted(`interface ${name}`, result);
}

/**
 * One whose other end is in a namespace goes with that, a moment later: it is waited for, and deleted
 * where it stays. Its name is nobody else's.
 */
export async function deleteOwnLink(name: string): Promise<void> {
  const deadline = performance.now() + GOING_PATIENCE_MS;
  while (isLinkThere(name)) {
    if (performance.now() < deadline) await sleep(GOING_POLL_MS);
    else {
      const result = await run('ip', ['link', 'delete', 'dev', name]);
      if (result.exitCode !== 0 && isLinkThere(name)) throw notDeleted(`interface ${name}`, result);
    }
  }
}

/** In our own network namespace, up or not. */
const isLinkThere = (name: string): boolean =>
  readFileSync('/proc/self/net/dev', 'utf8')
    .split('\n')
    .some((line) => line.trimStart().startsWith(`${name}:`));

/** None where nft is not installed, or this kernel has no nftables. */
export async function listTables(): Promise<Table[]> {
  if ((await findTool('nft')) === undefined) return [];
  const { exitCode, standardOutput } = await run('nft', ['list', 'tables']);
  if (exitCode !== 0) return [];
  return [...standardOutput.matchAll(/^table (\w+) (\S+)$/gm)].map(
    ([, family = '', name = '']) => ({
      family,
      name,
    }),
  );
}

export async function deleteTable({ family, name }: Table): Promise<void> {
  // A host that has no nft has no table of ours.
  if ((await findTool('nft')) === undefined) return;
  const table = `table ${family} ${name}`;
  // So it is there when it is deleted, whether it was or not.
  const result = await changePacketRules(`add ${table}\ndelete ${table}\n`);
  if (result.exitCode !== 0) throw notDeleted(table, result);
}

/** With the time of their making, which is that of the namespace's own file. */
export async function listNamespaces(): Promise<{ name: string; bornAtMs: number | undefined }[]> {
  const names = await readdir(NAMESPACES).catch((): string[] => []);
  return await Promise.all(
    names.map(async (name) => {
      const found = await stat(join(NAMESPACES, name)).catch(() => undefined);
      return { name, bornAtMs: found?.mtimeMs };
    }),
  );
}

/** The name, and every process in it: without a name nobody would find those again. */
export async function deleteNamespace(name: string): Promise<void> {
  const path = join(NAMESPACES, name);
  const isThere = (): boolean => statSync(path, { throwIfNoEntry: false }) !== undefined;
  if (!isThere()) return;
  for (const pid of processesIn(path)) killNow(pid);
  const result = await run('ip', ['netns', 'delete', name]);
  if (result.exitCode === 0 || !isThere()) return;
  // A file without a namespace: its maker died between the two.
  if (/invalid argument/i.test(result.standardError)) rmSync(path, { force: true });
  else throw notDeleted(`network namespace ${name}`, result);
}

/** None for a namespace that is our own, whatever it is called. */
function processesIn(path: string): number[] {
  const { ino } = statSync(path);
  const inside = (pid: string): boolean => {
    try {
      return readlinkSync(`/proc/${pid}/ns/net`) === `net:[${ino}]`;
    } catch {
      return false; // gone meanwhile
    }
  };
  if (inside('self')) return [];
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && inside(name))
    .map(Number);
}

function killNow(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

function notDeleted(what: string, result: ToolResult): AgentError {
  const said = result.standardError.trim() || `it ended with ${result.exitCode}`;
  return new AgentError('boot_failed', `The ${what} could not be deleted: ${said}.`);
}
