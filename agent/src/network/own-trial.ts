/** A trial of networks with onejob's own defaults, for measurements. */
import { tmpdir } from 'node:os';
import { createGuard } from '../guard/guard.ts';
import type { CardKind } from '../sandbox/driver.ts';
import { undoOn } from '../sandbox/undo.ts';
import { DEFAULT_ADDRESS_RANGE, parseAddressRange } from './plan.ts';
import { tryNetworks, type Trial } from './trial.ts';

export async function tryOwnNetworks(count: number, hostMarker: string): Promise<Trial> {
  return await tryNetworks(Array<CardKind>(count).fill('tap'), {
    ...{ hostMarker, cacheDirectory: tmpdir() },
    guard: createGuard({ records: () => {} }),
    pool: parseAddressRange(DEFAULT_ADDRESS_RANGE),
    hasIpv6: true,
    undo: undoOn(hostMarker),
  });
}
