/**
 * Annotations of jobs: all of one job, and for lists and streams, which show thousands of jobs, the
 * first ones within bounds. How many there are is always said.
 */
import { sql } from 'kysely';
import type { JobAnnotation, JobAnnotations, JobEvent } from '@onejob/protocol';
import { ANNOTATIONS_LISTED_BYTES, ANNOTATIONS_LISTED_PER_JOB } from '../limits.ts';
import type { Store } from '../store/store.ts';

/** Of one attempt of a job. */
export type ListedAnnotations = { annotations: JobAnnotation[]; annotationCount: number };
type Attempt = { job_id: string; attempt: number };

const isAnnotation = (event: JobEvent): event is JobEvent & { type: 'annotation' } =>
  event.type === 'annotation';
const viewed = ({ annotation, index }: JobEvent & { type: 'annotation' }): JobAnnotation => ({
  step: index,
  annotation,
});
const attemptKey = ({ job_id: job, attempt }: Attempt): string => `${job}/${attempt}`;

/** By `<job>/<attempt>`; jobs without annotations are left out. */
export async function listAnnotations(
  store: Store,
  jobIds: readonly string[],
): Promise<Map<string, ListedAnnotations>> {
  const counts = await store.db
    .selectFrom('job_events')
    .select(['job_id', 'attempt'])
    .select((of) => of.fn.countAll<number>().as('count'))
    .where('job_id', 'in', jobIds)
    .where('type', '=', 'annotation')
    .groupBy(['job_id', 'attempt'])
    .execute();
  const found = new Map(
    counts.map((one): [string, ListedAnnotations] => [
      attemptKey(one),
      { annotations: [], annotationCount: one.count },
    ]),
  );
  if (found.size === 0) return found;
  const ids = [...new Set(counts.map((one) => one.job_id))];
  const { rows } = await sql<Attempt & { event: JobEvent }>`
    select job_id, attempt, event from (
      select job_id, attempt, sequence, event,
        sum(octet_length(event::text)) over (order by job_id, attempt, sequence) as bytes
      from (
        select job_id, attempt, sequence, event,
          row_number() over (partition by job_id, attempt order by sequence) as nth
        from job_events
        where type = 'annotation' and job_id in (${sql.join(ids)})
      ) numbered
      where nth <= ${ANNOTATIONS_LISTED_PER_JOB}
    ) measured
    where bytes <= ${ANNOTATIONS_LISTED_BYTES}
    order by job_id, attempt, sequence`.execute(store.db);
  for (const row of rows) {
    if (isAnnotation(row.event)) found.get(attemptKey(row))?.annotations.push(viewed(row.event));
  }
  return found;
}

/** All of one attempt. */
export async function viewAnnotations(
  store: Store,
  { id, attempt }: { id: string; attempt: number },
): Promise<JobAnnotations> {
  const rows = await store.db
    .selectFrom('job_events')
    .select('event')
    .where((of) => of.and({ job_id: id, attempt, type: 'annotation' }))
    .orderBy('sequence')
    .execute();
  return {
    annotations: rows
      .map((row) => row.event as JobEvent)
      .filter(isAnnotation)
      .map(viewed),
  };
}
