/** Boots a guest image under QEMU's emulation and collects what its init reports. */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempDisposable, readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:net';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GuestImage } from '../src/index.ts';

export interface InitEvent {
  event: string;
  uptimeMs?: number;
  count?: number;
  status?: number | null;
  signal?: number | null;
  oomKills?: number;
  output?: string;
  message?: string;
}

export interface BootOptions {
  /** Appended to the kernel's command line; after ` -- ` it is init's. */
  append?: string;
  /** MiB; 0 leaves the disk out. */
  workDiskMiB?: number;
  /** Whether anyone is connected to the ports when the guest writes to them. */
  isHostListening?: boolean;
}

export interface GuestRun {
  events: InitEvent[];
  /** From QEMU's start to its end. */
  elapsedMs: number;
}

/** A guest that is not gone by then hangs: a loaded host takes 15 s for a boot. */
const GUEST_DEADLINE_MS = 120_000;
const PORTS = ['onejob.control', 'onejob.bulk', 'onejob.init'] as const;

/** The cache shared by all tests and runs on this machine, so that an image is built once. */
export function sharedCacheDir(): string {
  return join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'onejob');
}

/** Boots the image and waits until the guest has switched itself off. */
export async function bootGuest(image: GuestImage, options: BootOptions): Promise<GuestRun> {
  await using scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-boot-'));
  const { workDiskMiB = 512, isHostListening = true } = options;
  const workDisk = join(scratch.path, 'work.img');
  if (workDiskMiB > 0) {
    execFileSync('truncate', ['--size', `${workDiskMiB}M`, workDisk]);
    execFileSync('mke2fs', ['-q', '-t', 'ext4', '-F', workDisk]);
  }
  let text = '';
  const servers: Server[] = [];
  for (const port of isHostListening ? PORTS : []) {
    const server = createServer((socket) => {
      socket.setEncoding('utf8').on('data', (chunk: string) => {
        if (port === 'onejob.init') text += chunk;
      });
    });
    servers.push(server.listen(join(scratch.path, port)));
    await once(server, 'listening');
  }
  const startedAt = performance.now();
  const qemu = spawn('qemu-system-x86_64', await qemuArguments(image, scratch.path, options), {
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  try {
    await ended(qemu);
  } finally {
    qemu.kill('SIGKILL');
    for (const server of servers) server.close();
    await Promise.all(servers.map((server) => once(server, 'close')));
  }
  const elapsedMs = Math.round(performance.now() - startedAt);
  const lines = text.split('\n').filter((line) => line !== '');
  return { events: lines.map((line) => JSON.parse(line) as InitEvent), elapsedMs };
}

async function ended(qemu: ChildProcess): Promise<void> {
  const deadline = AbortSignal.timeout(GUEST_DEADLINE_MS);
  const [status] = (await once(qemu, 'exit', { signal: deadline })) as [number | null];
  if (status !== 0) throw new Error(`qemu ended with ${String(status)}`);
}

async function qemuArguments(
  image: GuestImage,
  directory: string,
  { append = '', workDiskMiB = 512, isHostListening = true }: BootOptions,
): Promise<string[]> {
  const cpu = await readFile('/proc/cpuinfo', 'utf8');
  const tscKhz = Math.round(Number(/^bogomips\s*: ([\d.]+)/m.exec(cpu)?.[1]) * 500);
  const kernel = [
    `quiet loglevel=0 panic=-1 tsc_early_khz=${tscKhz} cryptomgr.notests init_on_alloc=0`,
    'mitigations=off no_timer_check 8250.nr_uarts=0 lsm= audit=0 rcupdate.rcu_expedited=1',
    append,
  ];
  const machine = ['-M', 'microvm,acpi=on,isa-serial=off', '-accel', 'tcg,thread=multi'];
  machine.push('-cpu', 'max', '-m', '512', '-smp', '1', '-nodefaults', '-no-user-config');
  machine.push('-display', 'none', '-no-reboot', '-kernel', image.kernelPath);
  machine.push('-initrd', image.initrdPath, '-append', kernel.join(' '));
  const disks = ['-drive', `if=none,id=r,format=raw,file=${image.rootPath},read-only=on`];
  disks.push('-device', 'virtio-blk-device,drive=r,serial=root');
  if (workDiskMiB > 0) {
    disks.push('-drive', `if=none,id=w,format=raw,file=${join(directory, 'work.img')}`);
    disks.push('-device', 'virtio-blk-device,drive=w,serial=work');
  }
  const ports = ['-device', 'virtio-serial-device,max_ports=8'];
  for (const [index, port] of PORTS.entries()) {
    const server = isHostListening ? 'server=off' : 'server=on,wait=off';
    ports.push('-chardev', `socket,id=p${index},path=${join(directory, port)},${server}`);
    ports.push('-device', `virtserialport,chardev=p${index},name=${port}`);
  }
  return [...machine, ...disks, ...ports];
}
