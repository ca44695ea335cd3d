/**
 * Short-lived tools of the host: found in the system's own directories (never through a PATH that
 * somebody else set), started with no environment but what is given, killed when we die, when they take too
 * long, or when the caller's signal fires.
 */
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { join } from 'node:path';

/** Where Debian keeps programs; `sbin` is often missing in the PATH of users other than root. */
const TOOL_DIRECTORIES = [
  '/usr/local/sbin',
  '/usr/local/bin',
  '/usr/sbin',
  '/usr/bin',
  '/sbin',
  '/bin',
] as const;
/** A version or an error message; a tool that says more is killed, unless more was asked for. */
const TOOL_OUTPUT_BYTES = 256 * 1024;

export type ToolResult = {
  /** null: ended by a signal, ours on a time-out included; 127: could not be started. */
  exitCode: number | null;
  timedOut: boolean;
  standardOutput: string;
  standardError: string;
};

/** The full path of a program; undefined: not installed. */
export async function findTool(name: string): Promise<string | undefined> {
  for (const directory of TOOL_DIRECTORIES) {
    const path = join(directory, name);
    const usable = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (usable) return path;
  }
  return undefined;
}

type ToolOptions = {
  timeoutMs: number;
  signal?: AbortSignal;
  input?: string;
  outputBytes?: number;
  /** By default it has none. */
  environment?: Readonly<Record<string, string>>;
};

/** Runs a program to its end, `input` on its standard input; never rejects but with the signal's reason. */
export async function runTool(
  path: string,
  args: readonly string[],
  limits: ToolOptions,
): Promise<ToolResult> {
  limits.signal?.throwIfAborted();
  const result = await new Promise<ToolResult>((resolve) => {
    const child = execFile(
      'setpriv',
      ['--pdeathsig', 'KILL', '--', path, ...args],
      {
        env: limits.environment ?? {},
        timeout: limits.timeoutMs,
        killSignal: 'SIGKILL',
        maxBuffer: limits.outputBytes ?? TOOL_OUTPUT_BYTES,
      },
      (error, standardOutput, standardError) => {
        limits.signal?.removeEventListener('abort', kill);
        const failed = typeof error?.code === 'string'; // ENOENT, EACCES: setpriv did not start
        resolve({
          exitCode: failed ? 127 : child.exitCode,
          timedOut: error?.killed === true,
          standardOutput,
          standardError: failed ? `${error.message}\n${standardError}` : standardError,
        });
      },
    );
    const kill = (): void => void child.kill('SIGKILL');
    child.stdin?.on('error', () => {}); // it ended before it had read all, and says why
    child.stdin?.end(limits.input);
    limits.signal?.addEventListener('abort', kill, { once: true });
  });
  limits.signal?.throwIfAborted();
  return result;
}
