/**
 * Minutes of tenants. A job uses the minutes from its adoption to its end, each one that was begun,
 * as GitHub counts them; they belong to the calendar month (UTC) it was adopted in.
 */
import { sql } from 'kysely';
import type { Tx } from './store.ts';

const MINUTE_MS = 60_000;

/** The month of a moment, and when it began. */
export function monthOf(atMs: number): { month: string; startMs: number } {
  const month = new Date(atMs).toISOString().slice(0, 'yyyy-mm'.length);
  return { month, startMs: Date.parse(`${month}-01T00:00:00Z`) };
}

export async function addMinutes(
  tx: Tx,
  tenant: string,
  adoptedAtMs: number,
  endedAtMs: number,
): Promise<void> {
  const minutes = Math.max(1, Math.ceil((endedAtMs - adoptedAtMs) / MINUTE_MS));
  await tx.db
    .insertInto('tenant_minutes')
    .values({ tenant, month: monthOf(adoptedAtMs).month, minutes })
    .onConflict((conflict) =>
      conflict
        .columns(['tenant', 'month'])
        .doUpdateSet({ minutes: sql`tenant_minutes.minutes + excluded.minutes` }),
    )
    .execute();
}
