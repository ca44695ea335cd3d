/**
 * Takes a job's events (steps, annotations, summaries), idempotent by sequence number like log rows.
 * Every event is checked against the schema of `protocol`: the agent has done so before, and is not
 * believed.
 */
import { Compile } from 'typebox/compile';
import { JobEvent } from '@onejob/protocol/schemas';
import { ControlPlaneError } from '../errors.ts';
import { EVENT_BYTES_PER_JOB, EVENTS_PER_JOB } from '../limits.ts';
import type { AgentRow } from '../store/announce-agent.ts';
import type { Tx } from '../store/store.ts';
import { type Lease, lockLeasedJob } from '../leases/lease-guard.ts';
import { newRows } from './append-log.ts';

const validator = Compile(JobEvent);

function parseEvent(text: string): JobEvent {
  let event: unknown;
  try {
    event = JSON.parse(text);
  } catch (cause) {
    throw new ControlPlaneError('invalid_request', 'A job event is not JSON.', { cause });
  }
  if (validator.Check(event)) return event;
  const first = validator.Errors(event)[0];
  throw new ControlPlaneError(
    'invalid_request',
    `A job event does not fit its schema: ${first?.instancePath ?? ''} ${first?.message ?? ''}`,
  );
}

/** Returns the number of events that are durable once the transaction is committed. */
export async function recordEvents(
  tx: Tx,
  agent: AgentRow,
  lease: Lease,
  batch: { sequence: number; events: readonly string[] },
): Promise<number> {
  const events = batch.events.map(parseEvent);
  const job = await lockLeasedJob(tx, lease, { agentId: agent.id, orEnded: true });
  if (job.state === 'finished') return job.event_count;
  const fresh = newRows(job.event_count, batch.sequence, events);
  if (fresh.length === 0) return job.event_count;
  let bytes = job.event_bytes;
  const kept = fresh
    .map((event, index) => {
      const text = JSON.stringify(event);
      bytes += text.length;
      return { sequence: job.event_count + index, type: event.type, event: text, bytes };
    })
    .filter((one) => one.sequence < EVENTS_PER_JOB && one.bytes <= EVENT_BYTES_PER_JOB);
  if (kept.length > 0) {
    await tx.db
      .insertInto('job_events')
      .values(
        kept.map(({ sequence, type, event }) => ({
          job_id: job.id,
          attempt: job.attempt,
          sequence,
          type,
          event,
        })),
      )
      .execute();
  }
  const eventCount = job.event_count + fresh.length;
  await tx.db
    .updateTable('jobs')
    .set({ event_count: eventCount, event_bytes: bytes })
    .where('id', '=', job.id)
    .execute();
  tx.announce({ topic: 'run', runId: job.run_id, jobId: job.id });
  return eventCount;
}
