/**
 * Interfaces, tables of packet rules and named network namespaces of this host: listed, and deleted by
 * name. Each deletion succeeds where there is nothing to delete.
 */
import { readdirSync, readlinkSync, rmSync, statSync } from 'node:fs';
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentError } from '../errors.ts';
import { findTool, runTool, type ToolResult } from './short-tool.ts';

/** One run takes milliseconds, and a second on a host that is busy. */
const TOOL_TIMEOUT_MS = 20_000;
/** Where iproute2 keeps the names of namespaces. */
const NAMESPACES = '/run/netns';

export type Link = { name: string; alias: string };
export type Table = { family: string; name: string };

/** Those with an alias, in our own network namespace. None where ip is not installed. */
export async function listLinks(): Promise<Link[]> {
  if ((await findTool('ip')) === undefined) return [];
  const { exitCode, standardOutput } = await run('ip', ['-json', 'link', 'show']);
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
    (await listLinks()).some((one) => one.name === name && one.alias === alias);
  if (!(await isThere())) return;
  const result = await run('ip', ['link', 'delete', 'dev', name]);
  if (result.exitCode !== 0 && (await isThere())) throw notDeleted(`interface ${name}`, result);
}

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
  const isThere = async (): Promise<boolean> =>
    (await listTables()).some((one) => one.name === name && one.family === family);
  if (!(await isThere())) return;
  const result = await run('nft', ['delete', 'table', family, name]);
  if (result.exitCode !== 0 && (await isThere()))
    throw notDeleted(`table ${family} ${name}`, result);
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

const PACKAGES = { ip: 'iproute2', nft: 'nftables' } as const;

async function run(name: 'ip' | 'nft', args: readonly string[]): Promise<ToolResult> {
  const path = await findTool(name);
  if (path === undefined) {
    const message = `${name} is not installed: apt-get install ${PACKAGES[name]}`;
    throw new AgentError('tool_missing', message);
  }
  return await runTool(path, args, { timeoutMs: TOOL_TIMEOUT_MS });
}

function notDeleted(what: string, result: ToolResult): AgentError {
  const said = result.standardError.trim() || `it ended with ${result.exitCode}`;
  return new AgentError('boot_failed', `The ${what} could not be deleted: ${said}.`);
}
