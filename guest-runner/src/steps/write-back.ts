/**
 * Has the kernel write all files to their disk now: what a snapshot leaves to be written, every
 * machine that is restored from it writes again to a disk of its own.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

/** @param environment with a PATH that leads to `sync` */
export async function writeBack(environment: Record<string, string>): Promise<void> {
  await promisify(execFile)('sync', [], { env: { PATH: environment['PATH'] ?? '' } });
}
