/** How many machines may wait for jobs, as an operator says it: validated and completed. */
import type { NetworkMode } from '@onejob/protocol';
import { AgentError } from '../errors.ts';
import { POOL_IDLE_LONGEST_MS, POOL_MACHINES } from '../limits.ts';
import type { PoolLimits } from '../sandbox/pool.ts';

/** Demand is remembered as long as people who push again may take. */
const POOL_IDLE_MS = 10 * 60_000;

const BOUNDS = {
  minimum: [0, POOL_MACHINES],
  maximum: [0, POOL_MACHINES],
  idleMs: [1, POOL_IDLE_LONGEST_MS],
} as const;

/** Throws `invalid_configuration`: each value is judged by itself, then beside the others. */
export function completePool(
  { minimum = 0, maximum = 0, idleMs = POOL_IDLE_MS }: Partial<PoolLimits>,
  network: NetworkMode,
): PoolLimits {
  const pool = { minimum, maximum, idleMs };
  for (const name of ['minimum', 'maximum', 'idleMs'] as const) {
    const [least, most] = BOUNDS[name];
    const value = pool[name];
    if (Number.isInteger(value) && least <= value && value <= most) continue;
    throw wrong(`${name} is ${value}; a whole number from ${least} to ${most} was expected`);
  }
  if (network === 'nat' && (minimum > 0 || maximum > 0)) {
    throw wrong(
      `minimum is ${minimum} and maximum ${maximum}, but none can wait in network mode nat: a ` +
        "machine's own network is made before it, for one job. Set both to 0, or take network mode link",
    );
  }
  if (minimum > maximum) {
    throw wrong(
      `minimum is ${minimum} of each kind, but maximum (--pool) ${maximum} of all kinds: ` +
        'the minimum must not be above the maximum',
    );
  }
  return pool;
}

const wrong = (why: string): AgentError =>
  new AgentError(
    'invalid_configuration',
    `The pool of machines that wait cannot be as it was asked for: ${why}. docs/operations.md says how it is set.`,
  );
