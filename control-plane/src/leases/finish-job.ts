/**
 * The end of a job as its agent observed it. The first final state wins; a repeated or late finish
 * of the same lease is answered with what stands. In the same transaction the run moves on.
 */
import {
  END_REASON_NAMES,
  END_REASONS,
  type EndReason,
  OUTPUT_BYTES_PER_JOB,
} from '@onejob/protocol';
import { SecretMasker } from '@onejob/masking';
import type { Vault } from '../credentials.ts';
import { recordEgress } from '../egress/record-egress.ts';
import { ControlPlaneError } from '../errors.ts';
import { END_MESSAGE_CHARS, LOG_GRACE_MS, NOTE_CHARS, NOTES_PER_JOB } from '../limits.ts';
import { advanceRun } from '../runs/advance-run.ts';
import { lockRun } from '../runs/lock-run.ts';
import type { RunRow } from '../runs/run-contexts.ts';
import { placeOf } from '../runs/run-state.ts';
import type { AgentRow } from '../store/announce-agent.ts';
import type { Tx } from '../store/store.ts';
import { endJob, type JobRow, requeueJob } from '../store/transition-job.ts';
import { secretsOf, stateSeenBy } from './job-secrets.ts';
import { type Lease, lockLeasedJob } from './lease-guard.ts';
import { type LeaseTerms, limitsOf } from './lease-terms.ts';
import { explainCut } from './time-limit.ts';

export type Finish = {
  reason: string;
  message: string;
  outputs: Record<string, string>;
  /** -1: the guest never said. */
  logRows: number;
  notes: string[];
  egress: { records: readonly unknown[]; leftOut: number };
};

function asEndReason(text: string): EndReason {
  const reason = END_REASON_NAMES.find((name) => name === text);
  if (reason !== undefined) return reason;
  throw new ControlPlaneError('invalid_request', `"${text.slice(0, 100)}" is no end reason.`);
}

export async function finishJob(
  tx: Tx,
  agent: AgentRow,
  lease: Lease,
  finish: Finish,
  parts: { vault: Vault; terms: LeaseTerms },
): Promise<JobRow> {
  const said = asEndReason(finish.reason);
  const found = await tx.db
    .selectFrom('jobs')
    .select('run_id')
    .where('id', '=', lease.jobId)
    .executeTakeFirst();
  // The run before the job, as everywhere: see lockRun.
  const run = found === undefined ? undefined : await lockRun(tx, found.run_id);
  const job = await lockLeasedJob(tx, lease, { agentId: agent.id, orEnded: true });
  if (job.state === 'finished' || run === undefined) return job;

  // A platform failure before the adoption costs the job nothing but time.
  const platformFailed = END_REASONS[said].blame === 'platform';
  if (job.state !== 'running' && platformFailed && job.lease_count < parts.terms.leasesPerAttempt) {
    const queued = await requeueJob(tx, job, `${said}: ${clip(finish.message, 1000)}`);
    return queued ?? job;
  }
  const cancelledAs = said === 'cancelled' ? (job.cancel_reason ?? 'cancelled') : said;
  // An agent knows that a job was cancelled, not by what.
  const message = cancelledAs === said ? finish.message : job.cancel_message;
  const outputs = await withoutSecrets(tx, run, job, finish.outputs, parts.vault);
  const cut = said === 'deadline' ? whyCut(run, job, parts.terms) : [];
  const notes = [...cut, ...finish.notes, ...outputs.notes];
  const ended = await endJob(tx, job, {
    reason: cancelledAs,
    message: clip(message, END_MESSAGE_CHARS),
    outputs: outputs.kept,
    notes: notes.slice(0, NOTES_PER_JOB).map((note) => clip(note, NOTE_CHARS)),
    totalRows: finish.logRows < 0 ? null : finish.logRows,
    logGraceMs: LOG_GRACE_MS,
  });
  if (ended === undefined) throw new ControlPlaneError('internal', 'A locked job was ended.');
  await recordEgress(tx, ended, finish.egress);
  await advanceRun(tx, run);
  return ended;
}

/** A job that met its deadline is told when that was not what its workflow asked for. */
function whyCut(run: RunRow, job: JobRow, terms: LeaseTerms): string[] {
  const note = explainCut(
    placeOf(run, job.key)?.job.timeoutMinutes ?? null,
    limitsOf(terms, run.tenant),
  );
  return note === undefined ? [] : [note];
}

const clip = (text: string, chars: number): string =>
  text.length <= chars ? text : `${text.slice(0, chars - 1)}…`;

/** Outputs without those that hold a secret of the run, and without more than GitHub allows. */
async function withoutSecrets(
  tx: Tx,
  run: RunRow,
  job: JobRow,
  outputs: Record<string, string>,
  vault: Vault,
): Promise<{ kept: Record<string, string>; notes: string[] }> {
  const kept: Record<string, string> = {};
  const notes: string[] = [];
  const entries = Object.entries(outputs);
  if (entries.length === 0) return { kept, notes };
  const masker = new SecretMasker();
  const state = await stateSeenBy(tx, run, job.key);
  const { values } = await secretsOf(tx, state, job.key, { vault, token: '' });
  for (const value of values) masker.add(value);
  let bytes = 0;
  for (const [name, value] of entries) {
    if (masker.containsSecret(value) || masker.containsSecret(name)) {
      notes.push(`Output ${masker.maskText(name)} was dropped: it may hold a secret.`);
      continue;
    }
    bytes += Buffer.byteLength(name) + Buffer.byteLength(value);
    if (bytes > OUTPUT_BYTES_PER_JOB) {
      notes.push(`Output ${name} was dropped: outputs of a job are at most 1 MiB.`);
      continue;
    }
    kept[name] = value;
  }
  return { kept, notes };
}
