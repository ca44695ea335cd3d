/** QEMU by hand: the same machine that a job gets, without an agent, a jail or an encrypted disk. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { hostTscKhz, qemuArguments } from '@onejob/agent/qemu-machine';
import { createWorkDisk } from '@onejob/agent/work-disk';
import { ensureImage } from '@onejob/image';
import { newSandboxId } from '@onejob/protocol';
import { TEST_CACHE } from '@onejob/testing';

export type BareMachine = AsyncDisposable & {
  pid: number;
  /** From just before QEMU's start, on `performance.now()`. */
  startedAtMs: number;
  exited: Promise<void>;
};

export async function startBareMachine(options: {
  shape: { cpus: number; memoryBytes: number; diskBytes: number };
  isKvm: boolean;
  initArguments?: readonly string[];
  /** More of QEMU's own. */
  qemuArguments?: readonly string[];
  /** What its init says, by line. */
  onInitLine?: (line: string) => void;
}): Promise<BareMachine> {
  const { shape, isKvm, initArguments = [], onInitLine = () => {} } = options;
  const image = await ensureImage({ cacheDir: TEST_CACHE });
  const directory = mkdtempSync(join(tmpdir(), 'onejob-bare-'));
  const sockets = {
    control: join(directory, 'control.sock'),
    bulk: join(directory, 'bulk.sock'),
    init: join(directory, 'init.sock'),
  };
  const servers = await Promise.all([
    listen(sockets.control, () => {}),
    listen(sockets.bulk, () => {}),
    listen(sockets.init, onInitLine),
  ]);
  const path = join(directory, 'work.raw');
  await createWorkDisk(path, shape.diskBytes, new AbortController().signal);
  const args = qemuArguments({
    sandboxId: newSandboxId(),
    acceleration: isKvm
      ? { accelerator: 'kvm' }
      : { accelerator: 'tcg', tscKhz: await hostTscKhz() },
    shape,
    image,
    workDisk: { format: 'plain', path },
    sockets,
    initArguments,
  });
  const startedAtMs = performance.now();
  const words = [...args, ...(options.qemuArguments ?? [])];
  const child = spawn('qemu-system-x86_64', words, { stdio: 'ignore' });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  return {
    pid: child.pid ?? 0,
    startedAtMs,
    exited,
    [Symbol.asyncDispose]: async () => {
      child.kill('SIGKILL');
      await exited;
      for (const server of servers) server.close();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

async function listen(path: string, onLine: (line: string) => void): Promise<Server> {
  const server = createServer((socket) => {
    socket.on('error', () => {});
    createInterface({ input: socket }).on('line', onLine);
  });
  await new Promise<void>((listening) => void server.listen(path, listening));
  return server;
}
