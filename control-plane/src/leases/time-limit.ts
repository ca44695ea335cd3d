/**
 * How long a job may run: what `timeout-minutes` says, by default GitHub's 360 minutes, and never
 * longer than its tenant's minutes per job. An expression is evaluated by the guest runner, under
 * the tenant's limit. Pure.
 */
import { JOB_TIMEOUT_MAX_MS } from '@onejob/protocol';
import type { TenantLimits } from './lease-terms.ts';

const MINUTE_MS = 60_000;

/** Milliseconds that are asked for; undefined: only the guest runner can know. */
function askedMs(timeoutMinutes: unknown): number | undefined {
  // To the guest runner, too, 0 is no limit of its own.
  if (timeoutMinutes === null || timeoutMinutes === undefined || timeoutMinutes === 0) {
    return JOB_TIMEOUT_MAX_MS;
  }
  return typeof timeoutMinutes === 'number' ? timeoutMinutes * MINUTE_MS : undefined;
}

export function jobTimeoutMs(
  timeoutMinutes: unknown,
  { minutesPerJob }: Pick<TenantLimits, 'minutesPerJob'>,
): number {
  const mostMs = minutesPerJob * MINUTE_MS;
  return Math.min(Math.max(Math.round(askedMs(timeoutMinutes) ?? mostMs), 1), mostMs);
}

/** Why a job that met its deadline got less than its workflow asked for; undefined: it did not. */
export function explainCut(
  timeoutMinutes: unknown,
  { minutesPerJob }: Pick<TenantLimits, 'minutesPerJob'>,
): string | undefined {
  const asked = askedMs(timeoutMinutes);
  if (asked === undefined || asked <= minutesPerJob * MINUTE_MS) return undefined;
  const said = typeof timeoutMinutes === 'number' ? `is ${timeoutMinutes}` : 'is not set';
  return (
    `Jobs of this tenant may run for ${minutesPerJob} minutes; timeout-minutes ${said} ` +
    `(GitHub's default is ${JOB_TIMEOUT_MAX_MS / MINUTE_MS}).`
  );
}
