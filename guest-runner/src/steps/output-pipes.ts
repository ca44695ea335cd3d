/**
 * One pipe a step, for both its stdout and its stderr, so that rows keep the order in which they
 * were written. Named pipes, because Node gives children sockets, on which `> /dev/stderr` fails.
 *
 * All of a job's pipes are made by one `mkfifo`; each is unlinked as soon as it is open.
 */
import { execFile } from 'node:child_process';
import { closeSync, constants, mkdirSync, openSync, rmSync, unlinkSync } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { GuestError, messageOf } from '../errors.ts';

export type OutputPipe = {
  /** What was written, until every writer is gone. */
  reader: Socket;
  /** For `stdio` of children. */
  writeFd: number;
  /** Lets go of our writing end, so that the reader can end. */
  closeWriter(): void;
};

export class OutputPipes {
  private readonly directory: string;
  private readonly paths: string[];

  private constructor(directory: string, paths: string[]) {
    this.directory = directory;
    this.paths = paths;
  }

  /** @throws GuestError if the machine has no `mkfifo` */
  static async create(directory: string, count: number, path: string): Promise<OutputPipes> {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const paths = Array.from({ length: count }, (_, index) => join(directory, `output-${index}`));
    try {
      if (count > 0) {
        await promisify(execFile)('mkfifo', ['-m', '600', ...paths], { env: { PATH: path } });
      }
    } catch (error) {
      throw new GuestError('step', `cannot make the pipes for the log: ${messageOf(error)}`, {
        cause: error,
      });
    }
    return new OutputPipes(directory, paths);
  }

  take(): OutputPipe {
    const path = this.paths.pop();
    if (path === undefined) throw new GuestError('step', 'more steps than pipes were made for');
    const readFd = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    let writeFd: number;
    try {
      writeFd = openSync(path, constants.O_WRONLY);
    } catch (error) {
      closeSync(readFd);
      throw error;
    }
    unlinkSync(path);
    let open = true;
    return {
      reader: new Socket({ fd: readFd, readable: true, writable: false }),
      writeFd,
      closeWriter: () => {
        if (open) closeSync(writeFd);
        open = false;
      },
    };
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
