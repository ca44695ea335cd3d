/**
 * What a sandbox's disk costs to make, for a small and a large size: the encrypted overlay over a blank that all share,
 * beside the format of a plain disk of the same size. The blank itself is made once for each size, before.
 */
import { mkdtempDisposableSync, statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createEncryptedWorkDisk, createWorkDisk } from '@onejob/agent/work-disk';
import { median, rounded } from './statistics.ts';

const ROUNDS = 15;
const GiB = 1024 ** 3;
const SIZES = { small: GiB, large: 64 * GiB };
const STAT_BLOCK_BYTES = 512;

type Made = { ms: number; hostBytes: number };
type Measured = { sizeBytes: number; overlayMs: number; overlayHostBytes: number };

/** Makes a disk at `path`, which is gone afterwards. */
async function timed(path: string, make: () => Promise<unknown>): Promise<Made> {
  const startedAtMs = performance.now();
  await make();
  const ms = performance.now() - startedAtMs;
  const hostBytes = statSync(path).blocks * STAT_BLOCK_BYTES;
  await rm(path);
  return { ms, hostBytes };
}

async function measure(directory: string, sizeBytes: number): Promise<Measured & { plain: Made }> {
  const path = join(directory, 'disk');
  const { signal } = new AbortController();
  const blank = { directory, sizeBytes };
  const overlay = async (): Promise<Made> =>
    await timed(path, async () => await createEncryptedWorkDisk(path, blank, signal));
  const plain = async (): Promise<Made> =>
    await timed(path, async () => await createWorkDisk(path, sizeBytes, signal));
  await overlay(); // makes the blank
  const [overlays, plains]: [Made[], Made[]] = [[], []];
  for (let round = 0; round < ROUNDS; round += 1) {
    overlays.push(await overlay());
    plains.push(await plain());
  }
  const middle = (all: readonly Made[]): Made => ({
    ms: rounded(median(all.map(({ ms }) => ms)), 2),
    hostBytes: median(all.map(({ hostBytes }) => hostBytes)),
  });
  const { ms: overlayMs, hostBytes: overlayHostBytes } = middle(overlays);
  return { sizeBytes, overlayMs, overlayHostBytes, plain: middle(plains) };
}

export async function benchDisk(): Promise<Record<string, unknown>> {
  using directory = mkdtempDisposableSync(join(tmpdir(), 'onejob-disks-'));
  const small = await measure(directory.path, SIZES.small);
  const large = await measure(directory.path, SIZES.large);
  return {
    conditions: { rounds: ROUNDS },
    ...{ small, large },
    largeToSmall: rounded(large.overlayMs / small.overlayMs, 2),
  };
}
