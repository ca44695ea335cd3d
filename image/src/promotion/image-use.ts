/**
 * Who uses an image now. A machine has its root disk open, which the kernel knows; a process that has
 * looked an image up for a job and not started the machine yet leaves a mark, `uses/<digest>.<pid>`,
 * that counts while that process lives and the mark is young.
 *
 * Promise: an image that a running machine boots from is told as used, whatever the path it was opened
 * by (another mount namespace, a link). Machines of other users are seen by root only.
 */
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { USE_MARK_MS } from '../limits.ts';

const MARK = /^([0-9a-f]{64})\.(\d+)$/;

const marksDirectory = (cacheDir: string): string => join(cacheDir, 'uses');

/** Marks that this process is about to start a machine from the image. */
export async function markImageUse(cacheDir: string, digest: string): Promise<void> {
  await mkdir(marksDirectory(cacheDir), { recursive: true });
  const mark = join(marksDirectory(cacheDir), `${digest}.${process.pid}`);
  await writeFile(mark, `${startTimeOf(process.pid) ?? ''}\n`);
}

/** For people: each process that uses the image; none: it may be removed. */
export async function usersOfImage(
  cacheDir: string,
  { digest, rootPath }: { digest: string; rootPath: string },
): Promise<string[]> {
  const marked = await markingProcesses(cacheDir, digest);
  return [...new Set([...marked, ...processesWithOpenFile(rootPath)])].map(
    (pid) => `process ${pid} (${nameOf(pid)})`,
  );
}

async function markingProcesses(cacheDir: string, digest: string): Promise<number[]> {
  const names = await readdir(marksDirectory(cacheDir)).catch((): string[] => []);
  const using: number[] = [];
  for (const name of names) {
    const [, marked, digits] = MARK.exec(name) ?? [];
    if (marked === undefined) continue;
    const path = join(marksDirectory(cacheDir), name);
    const pid = Number(digits);
    const [startTime, found] = await Promise.all([
      readFile(path, 'utf8').catch(() => ''),
      stat(path).catch(() => undefined),
    ]);
    const isYoung = found !== undefined && Date.now() - found.mtimeMs < USE_MARK_MS;
    if (!isYoung || startTime.trim() !== startTimeOf(pid)) await rm(path, { force: true });
    else if (marked === digest) using.push(pid);
  }
  return using;
}

/** Field 22 of /proc/<pid>/stat (proc(5)): a process id that is used again has another one. */
function startTimeOf(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    return text.slice(text.lastIndexOf(')') + 2).split(' ')[22 - 3];
  } catch {
    return undefined;
  }
}

function nameOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
  } catch {
    return 'ended meanwhile';
  }
}

function processesWithOpenFile(path: string): number[] {
  const wanted = identityOf(path);
  if (wanted === undefined) return [];
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.map(Number).filter((pid) => {
    const directory = `/proc/${pid}/fd`;
    return descriptorsIn(directory).some((fd) => identityOf(`${directory}/${fd}`) === wanted);
  });
}

function descriptorsIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return []; // another user's, or gone
  }
}

function identityOf(path: string): string | undefined {
  try {
    const { dev, ino } = statSync(path, { bigint: true });
    return `${dev}:${ino}`;
  } catch {
    return undefined;
  }
}
