/** The user's own git in the user's own checkout: the one place where the command line spawns. */
import { spawn, type ChildProcessByStdio } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { text } from 'node:stream/consumers';
import { userEnvironment } from '../config/environment.ts';
import { CliError } from '../errors.ts';

type GitOptions = { directory: string; environment?: Record<string, string>; input?: string };

function spawnGit(
  args: readonly string[],
  options: GitOptions,
): ChildProcessByStdio<Writable, Readable, Readable> {
  const child = spawn('git', args, {
    cwd: options.directory,
    env: { ...userEnvironment(), LC_ALL: 'C', GIT_OPTIONAL_LOCKS: '0', ...options.environment },
    stdio: ['pipe', 'pipe', 'pipe'],
  });
  child.stdin.on('error', () => {}); // git may end before it has read all; its exit code tells
  child.stdin.end(options.input ?? '');
  return child;
}

const exitOf = (child: ReturnType<typeof spawnGit>): Promise<number> =>
  new Promise((resolve, reject) => {
    child.once('error', (error) =>
      reject(
        new CliError(
          'git_missing',
          `git cannot be started (${error.message}). Is it installed? apt-get install git`,
          { cause: error },
        ),
      ),
    );
    child.once('close', (code) => resolve(code ?? 1));
  });

/** Standard output without the last newline; throws with git's own words. */
export async function git(args: readonly string[], options: GitOptions): Promise<string> {
  const child = spawnGit(args, options);
  const [code, output, complaint] = await Promise.all([
    exitOf(child),
    text(child.stdout),
    text(child.stderr),
  ]);
  if (code !== 0) {
    throw new CliError(
      'git_failed',
      `git ${args.find((word) => !word.startsWith('-') && !word.includes('=')) ?? ''} failed in ${options.directory}: ${complaint.trim()}`,
    );
  }
  return output.replace(/\n$/, '');
}

/** Like `git`, but a failure is an answer too: undefined. */
export async function tryGit(
  args: readonly string[],
  options: GitOptions,
): Promise<string | undefined> {
  return await git(args, options).catch((error: unknown) => {
    if (error instanceof CliError && error.code === 'git_missing') throw error;
    return undefined;
  });
}

/** Standard output as a stream; errors when git fails. */
export function gitStream(args: readonly string[], options: GitOptions): Readable {
  const child = spawnGit(args, options);
  const complaint = text(child.stderr);
  exitOf(child).then(
    async (code) => {
      if (code === 0) return;
      child.stdout.destroy(new CliError('git_failed', `git ${args[0]}: ${await complaint}`));
    },
    (error: Error) => child.stdout.destroy(error),
  );
  return child.stdout;
}
