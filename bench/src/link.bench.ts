/**
 * What the link costs beside the carrier that it is on, in a real machine: a program in the runner's place
 * sends and takes bytes on the bare carrier, and in another machine on a stream that the runner opens for
 * a job. Both are measured by the guest's clock; no guard and no target's network is in it.
 */
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GuestLink } from '@onejob/agent/guest-link';
import { ensureImage } from '@onejob/image';
import { TEST_CACHE } from '@onejob/testing';
import { DriverLab, SHAPE } from './driver-lab.ts';
import { LOAD, serve, type LinkTimes } from './link-load.ts';
import { median, rounded } from './statistics.ts';

type Carriers = ConstructorParameters<typeof GuestLink>[0];

const overCarrier = async ({ bulk }: Carriers): Promise<LinkTimes> => await serve(bulk);

async function overLink(carriers: Carriers): Promise<LinkTimes> {
  const { promise, resolve, reject } = Promise.withResolvers<LinkTimes>();
  const link = new GuestLink(carriers, {
    hello: () => ({
      ...{ sandboxId: 'bench', hostname: 'bench', machineId: '0'.repeat(32), entropy: '' },
      ...{ clockUnixMs: Date.now(), network: 'link', steered: false },
      actions: { builtin: 'never', mirrored: false, serverUrl: '' },
    }),
    connect: (stream) => {
      stream.respond({ ':status': 200 });
      serve(stream).then(resolve, reject);
    },
    message: () => {},
    log: () => {},
    source: (stream) => stream.close(),
    action: (stream) => stream.close(),
    results: (stream) => stream.close(),
    name: (stream) => stream.close(),
    violation: reject,
    closed: () => reject(new Error('the guest closed its link')),
  });
  try {
    return await promise;
  } finally {
    link.close();
  }
}

async function measure(
  guest: URL,
  use: (carriers: Carriers) => Promise<LinkTimes>,
): Promise<LinkTimes> {
  await using cache = await mkdtempDisposable(join(tmpdir(), 'onejob-bench-'));
  const guestRunnerEntry = fileURLToPath(guest);
  const image = await ensureImage({ cacheDir: TEST_CACHE, guestRunnerEntry });
  await using lab = await DriverLab.open(cache.path, image);
  const { handle, bury } = await lab.start(true);
  try {
    const lost = handle.ended.then(({ detail }) => {
      throw new Error(`the machine ended: ${detail}`);
    });
    return await Promise.race([use(handle.carriers), lost]);
  } finally {
    await bury();
  }
}

export async function benchLink(): Promise<Record<string, unknown>> {
  const bare = await measure(new URL('./carrier-guest.ts', import.meta.url), overCarrier);
  const link = await measure(new URL('./link-guest.ts', import.meta.url), overLink);
  const { bytes, echoes, rounds } = LOAD;
  const perSecond = (all: readonly number[]): number => bytes / 1000 / median(all);
  const figures = (times: LinkTimes) => ({
    roundTripMs: rounded(median(times.echo), 2),
    toGuestMbPerS: rounded(perSecond(times.toGuest)),
    toHostMbPerS: rounded(perSecond(times.toHost)),
  });
  return {
    conditions: { bytes, rounds, echoes, shape: SHAPE },
    bareCarrier: figures(bare),
    link: figures(link),
    ratioToCarrier: {
      roundTrip: rounded(median(link.echo) / median(bare.echo), 2),
      toGuest: rounded(median(bare.toGuest) / median(link.toGuest), 2),
      toHost: rounded(median(bare.toHost) / median(link.toHost), 2),
    },
  };
}
