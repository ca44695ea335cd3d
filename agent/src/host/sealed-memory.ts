/**
 * Memory of this host that several programs map, and that none of them can change: a file without a
 * name (memfd_create(2)), written first, then sealed by the kernel (fcntl(2), F_ADD_SEALS). It is
 * handed on as an open file; who has it may open it again for writing, as QEMU insists on, and gets a
 * private copy of what it writes.
 *
 *     made -> written -> sealed -> closed by the last that has it open: gone
 *
 * Node has neither call, so Perl makes them, which every Debian has. It ends with us.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, fstatSync, openSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentError } from '../errors.ts';
import { findTool, runTool } from './short-tool.ts';

/** x86-64's number of memfd_create(2), MFD_ALLOW_SEALING. Says the descriptor, lives until told. */
const CREATE =
  '$| = 1; my $name = "onejob"; my $fd = syscall(319, $name, 2); die "memfd_create: $!\\n" if $fd < 0; print "$fd\\n"; <STDIN>';
/** F_ADD_SEALS: no more seals, no shorter, no longer, not written. */
const SEAL =
  'open(my $file, "+<", $ARGV[0]) or die "open: $!\\n"; fcntl($file, 1033, 15) or die "F_ADD_SEALS: $!\\n";';
/** Two system calls, and the start of a small program. */
const CALL_TIMEOUT_MS = 10_000;
/** The kernel says EBUSY while somebody has it mapped for writing. */
const SEAL_TRIES = 50;
const SEAL_PAUSE_MS = 100;
const BLOCK_BYTES = 512;
/** Some hundred MB, from a disk that others use. */
const COPY_TIMEOUT_MS = 60_000;

export class SealedMemory implements Disposable {
  /** Open for reading and writing, until disposed of. */
  readonly descriptor: number;
  #isOpen = true;
  #sealedBytes = 0;

  private constructor(descriptor: number) {
    this.descriptor = descriptor;
  }

  /** Empty, and not sealed yet. @throws AgentError `driver_unavailable` */
  static async create(): Promise<SealedMemory> {
    const perl = await findPerl();
    const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', perl, '-e', CREATE], {
      env: {},
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    const timer = setTimeout(() => child.kill('SIGKILL'), CALL_TIMEOUT_MS);
    child.on('error', () => {}); // it ends without a word, which says the same
    child.stdin.on('error', () => {});
    let complaint = '';
    child.stderr.on('data', (chunk: Buffer) => (complaint += chunk.toString()));
    const ended = once(child, 'close');
    ended.catch(() => {});
    try {
      const said = await Promise.race([once(child.stdout, 'data'), ended]);
      const number = /^(\d+)\n$/.exec(String(said[0]))?.[1];
      if (number === undefined) throw unavailable(complaint);
      return new SealedMemory(openSync(`/proc/${child.pid}/fd/${number}`, 'r+'));
    } finally {
      child.stdin.end();
      await ended.catch(() => {});
      clearTimeout(timer);
    }
  }

  /** What a file holds, holes included. */
  async copyFrom(path: string, signal: AbortSignal): Promise<void> {
    await copySparse(path, this.#path, signal);
  }

  async copyTo(path: string, signal: AbortSignal): Promise<void> {
    await copySparse(this.#path, path, signal);
  }

  /**
   * From now on nobody changes it, whoever has it open. Who had it mapped for writing must have
   * ended; that a look into /proc holds its memory for a moment longer is waited out.
   */
  async seal(): Promise<void> {
    const perl = await findPerl();
    const limits = { timeoutMs: CALL_TIMEOUT_MS };
    for (let tries = 1; ; tries++) {
      const result = await runTool(perl, ['-e', SEAL, this.#path], limits);
      if (result.exitCode === 0) {
        this.#sealedBytes = this.#takenBytes();
        return;
      }
      const isBusy = /resource busy/.test(result.standardError);
      if (!isBusy || tries === SEAL_TRIES) throw unavailable(result.standardError);
      await sleep(SEAL_PAUSE_MS);
    }
  }

  /**
   * What it takes more than when it was sealed: whoever maps it and touches a hole makes the kernel fill that
   * with zeros, for good. Nothing that can be seen in it changes.
   */
  grownBytes(): number {
    return this.#isOpen ? this.#takenBytes() - this.#sealedBytes : 0;
  }

  #takenBytes(): number {
    return takenBytes(fstatSync(this.descriptor));
  }

  /** The same memory, as an open file of the caller's. Undefined: it is gone. */
  open(): number | undefined {
    return this.#isOpen ? openSync(this.#path, 'r+') : undefined;
  }

  [Symbol.dispose](): void {
    if (this.#isOpen) closeSync(this.descriptor);
    this.#isOpen = false;
  }

  get #path(): string {
    return `/proc/${process.pid}/fd/${this.descriptor}`;
  }
}

/** What a file takes where it is, its holes left out; blocks are of stat(2). */
export const takenBytes = ({ blocks }: { blocks: number }): number => blocks * BLOCK_BYTES;

/** A file with holes as one with the same holes, so that it takes the room and time of its content. */
export async function copySparse(from: string, to: string, signal: AbortSignal): Promise<void> {
  const cp = await findTool('cp');
  if (cp === undefined) throw new AgentError('tool_missing', 'cp is not installed (coreutils)');
  const limits = { timeoutMs: COPY_TIMEOUT_MS, signal };
  const result = await runTool(cp, ['--sparse=auto', '--', from, to], limits);
  if (result.exitCode === 0) return;
  const said = result.standardError.trim();
  throw new AgentError(
    'boot_failed',
    `${from} could not be copied to ${to}: ${said || 'time-out'}`,
  );
}

async function findPerl(): Promise<string> {
  const perl = await findTool('perl');
  if (perl !== undefined) return perl;
  throw new AgentError('tool_missing', 'perl is not installed: apt-get install perl-base');
}

const unavailable = (complaint: string): AgentError =>
  new AgentError(
    'driver_unavailable',
    `this host gives no memory that can be sealed: ${complaint.trim() || 'perl ended without a word'}`,
  );
