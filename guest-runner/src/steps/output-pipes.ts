/**
 * One pipe a step, for both its stdout and its stderr, so that rows keep the order in which they
 * were written. Named pipes, because Node gives children sockets, on which `> /dev/stderr` fails.
 *
 * In a machine of our own init has made some already; the others come from one `mkfifo`, which costs
 * a fork and a program for many of them. Each is unlinked as soon as it is open.
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

/** Steps inside actions are not counted beforehand; they need some at a time. */
const PIPES_AT_ONCE = 16;

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
  private readonly searchPath: string;
  private readonly paths: string[] = [];
  private made = 0;

  private constructor(options: OutputPipesOptions) {
    this.directory = options.directory;
    this.searchPath = options.searchPath;
  }

  /** @throws GuestError if pipes must be made and the machine has no `mkfifo` */
  static async create(options: OutputPipesOptions): Promise<OutputPipes> {
    const pipes = new OutputPipes(options);
    pipes.paths.push(...preparedPipes(options.prepared).slice(0, options.count));
    const missing = options.count - pipes.paths.length;
    if (missing > 0) await pipes.make(missing);
    return pipes;
  }

  /** @throws GuestError if more pipes are wanted and the machine has no `mkfifo` */
  async take(): Promise<OutputPipe> {
    if (this.paths.length === 0) await this.make(PIPES_AT_ONCE);
    const path = this.paths.pop()!;
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

  private async make(count: number): Promise<void> {
    const { directory } = this;
    const paths = Array.from({ length: count }, () => join(directory, `output-${this.made++}`));
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
      const environment = { PATH: this.searchPath };
      await promisify(execFile)('mkfifo', ['-m', '600', ...paths], { env: environment });
    } catch (error) {
      throw new GuestError('step', `cannot make the pipes for the log: ${messageOf(error)}`, {
        cause: error,
      });
    }
    this.paths.push(...paths);
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }
}
