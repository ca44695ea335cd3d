/** The mounts that this process sees (proc(5), mountinfo), and how one is taken away. */
import { readFileSync } from 'node:fs';
import { AgentError } from '../errors.ts';
import { findTool, runTool } from './short-tool.ts';

/** Taking a mount out of sight waits for nobody. */
const UNMOUNT_TIMEOUT_MS = 10_000;

/** Where something is mounted, the oldest first. */
export function listMountPoints(): string[] {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  return lines.flatMap((line) => {
    const place = line.split(' ')[4];
    return place === undefined ? [] : [unescapePath(place)];
  });
}

/** Out of sight at once, also where a process still has a file open; gone is no error. */
export async function unmount(path: string): Promise<void> {
  if (!listMountPoints().includes(path)) return;
  const tool = await findTool('umount');
  if (tool === undefined) {
    throw new AgentError('tool_missing', 'umount is not installed: apt-get install mount');
  }
  const result = await runTool(tool, ['--lazy', '--no-canonicalize', '--', path], {
    timeoutMs: UNMOUNT_TIMEOUT_MS,
  });
  if (result.exitCode === 0 || !listMountPoints().includes(path)) return;
  const said = result.standardError.trim() || `umount ended with ${result.exitCode}`;
  throw new AgentError('boot_failed', `The mount ${path} could not be taken away: ${said}.`);
}

/** Blanks, tabs, newlines and backslashes are written in octal. */
const unescapePath = (text: string): string =>
  text.replaceAll(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
