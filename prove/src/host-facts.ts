/** What a report says of the host it was made on, and what the host sees of itself. */
import { statSync } from 'node:fs';
import { arch, availableParallelism, release, totalmem, type } from 'node:os';

export const hostFacts = () => ({
  system: `${type()} ${release()} ${arch()}`,
  cpus: availableParallelism(),
  memoryBytes: totalmem(),
  node: process.version,
});

/** The numbers of the disk that holds a path (makedev(3)); undefined: it is on no disk. */
export function diskOf(path: string): { major: number; minor: number } | undefined {
  const dev = BigInt(statSync(path).dev);
  const major = Number(((dev >> 8n) & 0xfffn) | ((dev >> 32n) & 0xfffff000n));
  const minor = Number((dev & 0xffn) | ((dev >> 12n) & 0xffffff00n));
  return major === 0 ? undefined : { major, minor };
}
