/** A place with start scripts of the stand-ins for Firecracker and its jailer, and an image for them. */
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { bundleGuestRunner } from '@onejob/image';
import type { FirecrackerDriverConfig } from '../src/drivers/firecracker/config.ts';
import { createFirecrackerDriver } from '../src/drivers/firecracker/driver.ts';
import type { MachineImage, SandboxDriver } from '../src/sandbox/driver.ts';
import type { StandInOptions } from './_firecracker-options.ts';

const STAND_IN = join(import.meta.dirname, '_firecracker-stand-in.ts');
const VSOCK_MODULE = 'modules/vmw_vsock_virtio_transport.ko';

/** All that a machine's monitor is told, in this order. */
export const REQUESTS = [
  ...['PUT /logger', 'PUT /machine-config', 'PUT /boot-source', 'PUT /drives/root'],
  ...['PUT /drives/work', 'PUT /vsock', 'PUT /actions'],
];

export const whyNoJail = process.getuid?.() === 0 ? undefined : 'the jailer takes root';

export class FirecrackerLab {
  readonly directory = mkdtempSync(join(tmpdir(), 'onejob-fc-'));
  readonly image: MachineImage;
  readonly guestRunnerPath: string;
  #count = 0;

  private constructor(guestRunnerPath: string) {
    this.guestRunnerPath = guestRunnerPath;
    this.image = this.makeImage([VSOCK_MODULE]);
  }

  static async open(): Promise<FirecrackerLab> {
    const { path } = await bundleGuestRunner({ cacheDir: join(homedir(), '.cache', 'onejob') });
    return new FirecrackerLab(path);
  }

  close(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  /** Files that Firecracker opens and the stand-in runs nothing of; the initrd has these files. */
  makeImage(initrdNames: readonly string[]): MachineImage {
    const directory = this.#newDirectory();
    const paths = {
      kernelPath: join(directory, 'vmlinux'),
      initrdPath: join(directory, 'initrd.cpio.gz'),
      rootPath: join(directory, 'root.erofs'),
    };
    writeFileSync(paths.kernelPath, '\x7fELF kernel', { encoding: 'latin1', mode: 0o644 });
    const archive = Buffer.concat([...initrdNames, 'TRAILER!!!'].map(emptyFile));
    writeFileSync(paths.initrdPath, gzipSync(archive), { mode: 0o644 });
    writeFileSync(paths.rootPath, 'root', { mode: 0o644 });
    return { digest: 'f'.repeat(64), ...paths };
  }

  /** Start scripts that do as told. */
  programs(options: Partial<StandInOptions> = {}): { firecrackerPath: string; jailerPath: string } {
    const complete: StandInOptions = {
      ...{ version: '1.10.1', jailerVersion: '1.10.1', guestRunnerPath: this.guestRunnerPath },
      ...options,
    };
    const directory = this.#newDirectory();
    const script = (name: string): string => {
      const words = [process.execPath, STAND_IN, name, JSON.stringify(complete)];
      const path = join(directory, name);
      const says = `${{ firecracker: `Firecracker v${complete.version}`, jailer: `Jailer v${complete.jailerVersion}` }[name]}`;
      const version = `[ "$1" = --version ] && exec echo ${quoted(says)}`;
      writeFileSync(path, `#!/bin/sh\n${version}\nexec ${words.map(quoted).join(' ')} "$@"\n`);
      chmodSync(path, 0o755);
      return path;
    };
    return { firecrackerPath: script('firecracker'), jailerPath: script('jailer') };
  }

  driver(
    hostMarker: string,
    options: Partial<StandInOptions> = {},
    config: Partial<FirecrackerDriverConfig> = {},
  ): SandboxDriver {
    return createFirecrackerDriver({
      hostMarker,
      cacheDirectory: this.directory,
      settings: this.programs(options),
      kvm: { obstacle: () => Promise.resolve(undefined), triesMs: [20_000] },
      ...config,
    });
  }

  /** What a stand-in with this record was asked, method and path. */
  asked(recordPath: string): string[] {
    const lines = readFileSync(recordPath, 'utf8').trim().split('\n');
    return lines.map((line) => line.split(' ').slice(0, 2).join(' '));
  }

  recordPath(): string {
    return join(this.#newDirectory(), 'record');
  }

  #newDirectory(): string {
    const path = join(this.directory, String(this.#count++));
    mkdirSync(path);
    return path;
  }
}

const quoted = (word: string): string => `'${word.replaceAll("'", "'\\''")}'`;

/** An entry without content, in the "newc" format of cpio. */
function emptyFile(path: string): Buffer {
  const name = Buffer.from(`${path}\0`);
  const fields = [1, 0o100644, 0, 0, 1, 0, 0, 0, 0, 0, 0, name.length, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
  const padding = Buffer.alloc((4 - ((header.length + name.length) % 4)) % 4);
  return Buffer.concat([Buffer.from(header), name, padding]);
}
