/** Machines of the qemu driver, one by one, without a control plane. */
import { readdirSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Journal, ProvisionStack, undoOn } from '@onejob/agent/provision';
import { createQemuDriver } from '@onejob/agent/qemu-driver';
import type { GuestImage } from '@onejob/image';
import { newSandboxId } from '@onejob/protocol';

const MiB = 1024 ** 2;
/** As an operator would choose for machines that wait. */
export const SHAPE = { cpus: 1, memoryBytes: 256 * MiB, diskBytes: 1024 * MiB };
const ORIGIN = { tenant: 'bench', isFromElsewhere: false } as const;
export class DriverLab implements AsyncDisposable {
  readonly #root: string;
  readonly #marker = `bench-${process.pid}`;
  readonly #driver;
  readonly #image;

  private constructor(root: string, image: GuestImage, cache: string) {
    this.#root = root;
    this.#image = image;
    this.#driver = createQemuDriver({ hostMarker: this.#marker, cacheDirectory: cache });
  }

  static async open(cacheDirectory: string, image: GuestImage): Promise<DriverLab> {
    return new DriverLab(await mkdtemp(join(tmpdir(), 'onejob-bench-')), image, cacheDirectory);
  }

  async snapshot(): Promise<void> {
    const { request, stack } = await this.#sandbox();
    await this.#driver.snapshots?.make(request, stack);
    await stack.bury();
  }

  /** A machine whose carriers are up, and how it is buried. */
  async start(isCold: boolean) {
    const { request, stack } = await this.#sandbox();
    const startedAtMs = performance.now();
    // One whose files are to be kept is booted.
    const handle = await this.#driver.provision({ ...request, keep: isCold }, stack);
    const tookMs = performance.now() - startedAtMs;
    const isRestored = 'restore' in handle.phasesMs;
    if (isRestored === isCold) throw new Error(`not what was asked for: ${handle.note}`);
    const bury = async (): Promise<void> => {
      await handle.kill();
      await stack.bury();
      stack.journal.close();
    };
    return { tookMs, handle, bury, pssBytes: () => pssOf(request.sandboxId) };
  }

  async #sandbox() {
    const sandboxId = newSandboxId();
    const directory = join(this.#root, sandboxId);
    const stack = new ProvisionStack(
      new Journal(join(this.#root, 'journals'), sandboxId),
      undoOn(this.#marker),
    );
    await stack.acquire({ kind: 'directory', path: directory }, async () => {
      await mkdir(directory, { mode: 0o700 });
    });
    const { signal } = new AbortController();
    const image = this.#image;
    return {
      stack,
      request: {
        origin: ORIGIN,
        sandboxId,
        directory,
        shape: SHAPE,
        image,
        guestRunnerPath: '',
        signal,
      },
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#driver.snapshots?.close();
    await rm(this.#root, { recursive: true, force: true });
  }
}

/** Of a process: pages that others have, too, count by their share. */
export const pssBytes = (pid: string | number): number => {
  const rollup = readFileSync(`/proc/${pid}/smaps_rollup`, 'utf8');
  return Number(/^Pss:\s+(\d+) kB$/m.exec(rollup)?.[1]) * 1024;
};

function pssOf(sandboxId: string): number {
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      if (!readFileSync(`/proc/${pid}/comm`, 'utf8').startsWith('qemu-system')) continue;
      if (!readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(sandboxId)) continue;
      return pssBytes(pid);
    } catch {
      continue; // ended meanwhile
    }
  }
  throw new Error(`no QEMU of ${sandboxId}`);
}
