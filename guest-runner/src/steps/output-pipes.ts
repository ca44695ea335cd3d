/**
 * One pipe a step, for both its stdout and its stderr, so that rows keep the order in which they
 * were written. Named pipes, because Node gives children sockets, on which `> /dev/stderr` fails.
 *
 * In a machine of our own init has made some already; the others come from one `mkfifo`, which costs
 * a fork and a program. Each is unlinked as soon as it is open.
 */
import { execFile } from 'node:child_process';
import {
  closeSync,
  constants,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  unlinkSync,
} from 'node:fs';
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

export type OutputPipesOptions = {
  count: number;
  /** Directory of pipes that wait for us; null: nobody makes any. */
  prepared: string | null;
  /** Where the others are made. */
  directory: string;
  /** PATH, to find `mkfifo`. */
  searchPath: string;
};

/** An image from elsewhere may have none. */
function preparedPipes(directory: string | null): string[] {
  if (directory === null) return [];
  try {
    return readdirSync(directory).map((name) => join(directory, name));
  } catch {
    return [];
  }
}

export class OutputPipes {
  private readonly directory: string;
  private readonly paths: string[];

  private constructor(directory: string, paths: string[]) {
    this.directory = directory;
    this.paths = paths;
  }

  /** @throws GuestError if pipes must be made and the machine has no `mkfifo` */
  static async create(options: OutputPipesOptions): Promise<OutputPipes> {
    const { count, directory, searchPath } = options;
    const ready = preparedPipes(options.prepared).slice(0, count);
    const made = Array.from({ length: count - ready.length }, (_, index) =>
      join(directory, `output-${index}`),
    );
    try {
      if (made.length > 0) {
        mkdirSync(directory, { recursive: true, mode: 0o700 });
        await promisify(execFile)('mkfifo', ['-m', '600', ...made], { env: { PATH: searchPath } });
      }
    } catch (error) {
      throw new GuestError('step', `cannot make the pipes for the log: ${messageOf(error)}`, {
        cause: error,
      });
    }
    return new OutputPipes(directory, [...ready, ...made]);
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
