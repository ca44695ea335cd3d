/** Programs that the runner itself needs, and whose output is no step's. */
import { execFile } from 'node:child_process';
import { createWriteStream, rmSync } from 'node:fs';
import type { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { GuestError, messageOf } from '../errors.ts';
import { SHORT_TEXT_CHARACTERS, TOOL_OUTPUT_BYTES, UNPACK_MS } from '../limits.ts';

export type ToolAnswer = {
  /** null: it was ended by a signal, ours when it took too long. */
  exitCode: number | null;
  output: string;
  /** Its last word of trouble, one line. */
  complaint: string;
};

/** Runs a program to its end. Never rejects. */
export function askTool(
  program: string,
  args: readonly string[],
  how: { directory: string; environment: Record<string, string>; timeoutMs: number },
): Promise<ToolAnswer> {
  const { promise, resolve } = Promise.withResolvers<ToolAnswer>();
  const child = execFile(
    program,
    args,
    {
      cwd: how.directory,
      env: how.environment,
      timeout: how.timeoutMs,
      killSignal: 'SIGKILL',
      maxBuffer: TOOL_OUTPUT_BYTES,
    },
    (error, output, stderr) => {
      const last = stderr.trim().split('\n').at(-1)?.slice(0, SHORT_TEXT_CHARACTERS) ?? '';
      const why = error?.killed === true ? `it took longer than ${how.timeoutMs / 1000} s` : last;
      resolve({
        exitCode: error === null ? 0 : child.exitCode === 0 ? null : child.exitCode,
        output,
        complaint: why === '' && error !== null ? messageOf(error) : why,
      });
    },
  );
  return promise;
}

/**
 * Below the directory, and nowhere else: tar refuses what leads out. The archive is written to a file
 * first: tar stops reading where it sees the end, and does not see that one is cut off.
 * @throws GuestError `step`
 */
export async function unpackTar(
  archive: Readable,
  given: { bytes: number; directory: string; environment: Record<string, string> },
): Promise<void> {
  const { bytes, directory, environment } = given;
  const file = `${directory}.tar`;
  try {
    const target = createWriteStream(file, { mode: 0o600 });
    await pipeline(archive, target);
    if (target.bytesWritten !== bytes) {
      throw new Error(`it broke off after ${target.bytesWritten} of ${bytes} bytes`);
    }
    const args = ['-x', '--no-same-owner', '-f', file];
    const how = { directory, environment, timeoutMs: UNPACK_MS };
    const answer = await askTool('tar', args, how);
    if (answer.exitCode !== 0) throw new Error(answer.complaint);
  } catch (cause) {
    const message = `An archive could not be unpacked: ${messageOf(cause)}.`;
    throw new GuestError('step', message, { cause });
  } finally {
    rmSync(file, { force: true });
  }
}
