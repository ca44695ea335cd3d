/**
 * One builder at a time in a cache directory, over any number of processes.
 *
 * The lock is flock(2) on a file that stays: the kernel gives it up when the last holder of the open
 * file is gone, so there is no stale lock to recognise and nothing to repair after a crash. Tools of
 * a build inherit the descriptor: after a builder was killed, the next one waits until its tools are
 * gone too, and then clears away what they left.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { open, type FileHandle } from 'node:fs/promises';
import { ImageError } from './errors.ts';

export interface BuildLock extends AsyncDisposable {
  /** Open file description that holds the lock; inherited, it holds it too. */
  readonly fd: number;
}

export async function takeBuildLock(
  path: string,
  options: { onWait: () => void; signal?: AbortSignal | undefined },
): Promise<BuildLock> {
  const file = await open(path, 'a');
  try {
    if (!(await flock(file, ['--nonblock'], options.signal))) {
      options.onWait();
      await flock(file, [], options.signal);
    }
  } catch (error) {
    await file.close();
    throw error;
  }
  return { fd: file.fd, [Symbol.asyncDispose]: () => file.close() };
}

/** Locks our open file through flock(1), which ends while the lock stays with the description. */
async function flock(
  file: FileHandle,
  flags: readonly string[],
  signal: AbortSignal | undefined,
): Promise<boolean> {
  const child = spawn('flock', ['--exclusive', ...flags, '3'], {
    stdio: ['ignore', 'ignore', 'inherit', file.fd],
    ...(signal === undefined ? {} : { signal }),
  });
  const [status] = (await once(child, 'close').catch((cause: unknown) => {
    if (signal?.aborted === true) {
      const message = 'cancelled while waiting for another build of the guest image';
      throw new ImageError('image_cancelled', message, { cause });
    }
    const message =
      'building the guest image needs flock; install with: ' +
      'apt-get install --no-install-recommends util-linux';
    throw new ImageError('image_tool_missing', message, { cause });
  })) as [number | null];
  if (status !== 0 && status !== 1) {
    throw new ImageError('image_build_failed', `step lock: flock ended with ${String(status)}`);
  }
  return status === 0;
}
