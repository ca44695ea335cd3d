/**
 * The files of a guest image, for drivers whose machines have no disks: its read-only root disk,
 * unpacked with owners and modes, which takes root. Done once an image and kept by digest; a directory
 * appears complete, by one rename.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { PassThrough, pipeline, type Readable } from 'node:stream';
import { AgentError } from '../errors.ts';
import type { MachineImage } from '../sandbox/driver.ts';
import { findTool, runTool } from './short-tool.ts';

/** Half a gigabyte in 20000 files takes seconds; a disk that is this slow runs no jobs. */
const UNPACK_TIMEOUT_MS = 180_000;
/** What an agent left that was killed while it unpacked. */
const STALE_PART_MS = 60 * 60 * 1000;

const unpacking = new Map<string, Promise<string>>();

/** The directory with the image's root; made where it is missing. */
export async function unpackImage(image: MachineImage, cacheDirectory: string): Promise<string> {
  const parent = join(cacheDirectory, 'unpacked');
  const target = join(parent, image.digest);
  const running = unpacking.get(target) ?? unpackOnce(image, parent, target);
  unpacking.set(target, running);
  try {
    return await running;
  } finally {
    unpacking.delete(target);
  }
}

async function unpackOnce(image: MachineImage, parent: string, target: string): Promise<string> {
  if (await isDirectory(target)) return target;
  const fsck = await findTool('fsck.erofs');
  if (fsck === undefined) {
    throw new AgentError(
      'tool_missing',
      'fsck.erofs, which unpacks guest images, is not installed: apt-get install erofs-utils',
    );
  }
  if (process.getuid?.() !== 0) {
    throw new AgentError(
      'driver_unavailable',
      'Only root can unpack a guest image with the owners of its files. Start the agent as root, or take the driver qemu.',
    );
  }
  await mkdir(parent, { recursive: true, mode: 0o700 });
  await removeStaleParts(parent);
  const part = join(parent, `${image.digest}.${randomBytes(6).toString('hex')}.part`);
  try {
    const result = await runTool(fsck, [`--extract=${part}`, image.rootPath], {
      timeoutMs: UNPACK_TIMEOUT_MS,
    });
    if (result.exitCode !== 0) {
      const said = result.standardError.trim() || `fsck.erofs ended with ${result.exitCode}`;
      throw new AgentError('boot_failed', `${image.rootPath} could not be unpacked: ${said}.`);
    }
    await rename(part, target).catch(async (error: unknown) => {
      if (!(await isDirectory(target))) throw error; // another agent was faster
    });
    return target;
  } finally {
    await rm(part, { recursive: true, force: true });
  }
}

async function removeStaleParts(parent: string): Promise<void> {
  for (const name of await readdir(parent)) {
    if (!name.endsWith('.part')) continue;
    const path = join(parent, name);
    const age = Date.now() - ((await stat(path).catch(() => undefined))?.mtimeMs ?? Date.now());
    if (age > STALE_PART_MS) await rm(path, { recursive: true, force: true });
  }
}

const isDirectory = async (path: string): Promise<boolean> =>
  await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );

/**
 * The directory as a tar; the stream ends with an error where tar does not end well, so whoever calls
 * this listens for errors in the same turn.
 */
export function tarOf(directory: string): Readable {
  const args = ['--pdeathsig', 'KILL', '--', 'tar', '-C', directory, '--numeric-owner', '-c', '.'];
  const tar = spawn('setpriv', args, { stdio: ['ignore', 'pipe', 'ignore'], env: {} });
  const exited = Promise.withResolvers<number | null>();
  tar.once('exit', exited.resolve);
  async function* checked(bytes: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    yield* bytes;
    // The end of what it wrote is often read before it is known how it ended.
    const code = await exited.promise;
    if (code === 0) return;
    const message = `${directory} could not be packed (tar ended with ${code}).`;
    throw new AgentError('boot_failed', message);
  }
  const whole = new PassThrough();
  tar.once('error', (error) => whole.destroy(error));
  pipeline(tar.stdout, checked, whole, () => {}); // whoever reads it is told
  return whole;
}
