/**
 * Where a host is tried: an id as a sandbox has, for all that the trial makes by its name, and a
 * directory in the cache directory, which agents may share. The directory's name says which process
 * tries, so that everybody tells a trial that goes on from one whose process was killed:
 *
 *     trial-<sandbox id>-<process>-<when that began>-<its PID namespace>
 *
 * It is there before anything else of the trial, and goes last. What the reaper does about a killed one:
 * finders/trials.ts.
 */
import { readlinkSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { isSandboxId, newSandboxId, type SandboxId } from '@onejob/protocol';
import { HOST_VARIABLE, processBirth, SANDBOX_VARIABLE } from '../host/processes.ts';
import { namesIn } from './finders/directories.ts';

const NAME = /^trial-(sb[0-9a-f]+)-(\d+)-(\d+)-(\d+)$/;

export type TrialPlace = AsyncDisposable & {
  sandboxId: SandboxId;
  hostMarker: string;
  directory: string;
  /** For every process of it: by that it is found. */
  environment: Readonly<Record<string, string>>;
};

export async function openTrialPlace({
  cacheDirectory,
  hostMarker,
}: {
  /** Made when missing. */
  cacheDirectory: string;
  hostMarker: string;
}): Promise<TrialPlace> {
  const sandboxId = newSandboxId();
  const owner = [process.pid, processBirth(process.pid) ?? 0, ownPidNamespace()];
  const directory = join(cacheDirectory, ['trial', sandboxId, ...owner].join('-'));
  await mkdir(directory, { recursive: true, mode: 0o700 });
  return {
    ...{ sandboxId, hostMarker, directory },
    environment: { [SANDBOX_VARIABLE]: sandboxId, [HOST_VARIABLE]: hostMarker },
    [Symbol.asyncDispose]: async () => await rm(directory, { recursive: true, force: true }),
  };
}

export type FoundTrial = { sandboxId: SandboxId; directory: string; isAlive: boolean };

/** Every trial in this cache directory, if any. One of another PID namespace counts as alive: who could tell? */
export async function listTrials(cacheDirectory: string | undefined): Promise<FoundTrial[]> {
  if (cacheDirectory === undefined) return [];
  return (await namesIn(cacheDirectory)).flatMap((name): FoundTrial[] => {
    const [, sandboxId = '', pid, birth, namespace] = NAME.exec(name) ?? [];
    if (!isSandboxId(sandboxId)) return [];
    const isHere = Number(namespace) === ownPidNamespace();
    const isAlive = !isHere || processBirth(Number(pid)) === Number(birth);
    return [{ sandboxId, directory: join(cacheDirectory, name), isAlive }];
  });
}

/** proc_pid_ns(5): `pid:[4026531836]`. */
const ownPidNamespace = (): number =>
  Number(/\d+/.exec(readlinkSync('/proc/self/ns/pid'))?.[0] ?? 0);
