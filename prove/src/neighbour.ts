/** The sandbox beside the first one: a job that shows its value, and where that could be asked for. */
import type { Places, ReplayAttack, SandboxAttack } from './attack.ts';
import {
  aim,
  asksNeighbour,
  needsEnds,
  NEIGHBOUR,
  NEIGHBOUR_ADDRESSES,
  ownPlaces,
} from './attacks/neighbour.ts';
import { readReports, type ProbeReport } from './evidence.ts';
import type { Lab, ProbeJob } from './lab.ts';
import type { Side } from './round.ts';
import { openEnds, openStandIn } from './scene/neighbour-ends.ts';
import { neighbourFiles } from './workflow.ts';

export type Neighbour = AsyncDisposable & {
  readonly values: ReadonlyMap<string, string>;
  readonly reports: ReadonlyMap<string, ProbeReport>;
  readonly places: Places;
  /** Why nothing can be seen of it; empty: it is there. */
  readonly missing: string;
  /** Why it has no more places. */
  readonly noPlace: string;
};

export type NeighbourOptions = {
  lab: Lab;
  side: Side;
  job: ProbeJob;
  /** Nobody else knows it. */
  value: string;
  attacks: readonly SandboxAttack[];
  replays: readonly ReplayAttack[];
};

export const needsNeighbour = (
  attacks: readonly SandboxAttack[],
  replays: readonly ReplayAttack[],
): boolean => replays.some(({ where }) => where === 'beside') || attacks.some(asksNeighbour);

/** Another job of the same driver, which shows its value until it is disposed. */
export async function startNeighbour(options: NeighbourOptions): Promise<Neighbour> {
  const { lab, side, job, value, attacks, replays } = options;
  await using undo = new AsyncDisposableStack();
  const stop = new AbortController();
  const reports = new Map<string, ProbeReport>();
  let [sandboxId, end] = ['', ''];
  const { promise: ready, resolve } = Promise.withResolvers<boolean>();
  const ended = lab
    .run(
      { ...job, files: neighbourFiles(value, replays) },
      {
        stop: stop.signal,
        running: async (id) => await Promise.resolve(void (sandboxId = id)),
        line: (line) => {
          for (const [id, report] of readReports([line])) reports.set(id, report);
          if (reports.get(NEIGHBOUR)?.seen === 'ready') resolve(true);
        },
      },
    )
    .then((one) => void (end = one.ended))
    .finally(() => resolve(false));
  // Told when it is disposed; until then nobody waits for it.
  ended.catch(() => {});
  undo.defer(async () => {
    stop.abort();
    await ended;
  });
  const isReady = await ready;
  const places = new Map(ownPlaces(reports.get(NEIGHBOUR_ADDRESSES)?.seen ?? ''));
  let noPlace = 'the other sandbox has no such address';
  if (isReady && attacks.some(needsEnds)) {
    try {
      const ends = side === 'sandbox' ? openEnds(sandboxId, value) : openStandIn(value);
      for (const [place, address] of undo.use(await ends).places) places.set(place, address);
    } catch (error) {
      noPlace = `nothing could answer for the other sandbox: ${(error as Error).message}`;
    }
  }
  const owned = undo.move();
  return {
    values: new Map(isReady ? [[NEIGHBOUR, value]] : []),
    ...{ reports, places, noPlace },
    missing: isReady ? '' : `there was no other sandbox: ${whyMissing(reports, end)}`,
    [Symbol.asyncDispose]: async () => await owned.disposeAsync(),
  };
}

function whyMissing(reports: ReadonlyMap<string, ProbeReport>, end: string): string {
  const said = reports.get(NEIGHBOUR)?.said.trim() ?? '';
  return [said, end].filter((part) => part !== '').join('; ') || 'it said nothing';
}

export type Aimed = {
  attacks: SandboxAttack[];
  /** By attack, why it cannot be tried, or shows nothing. */
  untried: Map<string, string>;
};

/** The attacks with the neighbour's addresses in them. Without a neighbour there is nothing to be seen of it. */
export function aimAll(
  attacks: readonly SandboxAttack[],
  neighbour: Pick<Neighbour, 'places' | 'missing' | 'noPlace'> | undefined,
): Aimed {
  const aimed: Aimed = { attacks: [], untried: new Map() };
  for (const attack of attacks) {
    const one = aim(attack, neighbour?.places ?? new Map());
    const why = neighbour?.missing ?? '';
    if (one !== undefined) aimed.attacks.push(one);
    if (one === undefined)
      aimed.untried.set(attack.id, neighbour?.noPlace ?? 'no other sandbox ran');
    if (why !== '' && asksNeighbour(attack)) aimed.untried.set(attack.id, why);
  }
  return aimed;
}
