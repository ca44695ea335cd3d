/**
 * The agent protocol: every call is checked, translated to one operation and answered. What a call
 * means is said where the operation is (leases/, logs/); here is only the border.
 */
import { Code, ConnectError, type HandlerContext, type ServiceImpl } from '@connectrpc/connect';
import { isSandboxId, isUuid, type LogRow } from '@onejob/protocol';
import {
  AGENT_CREDENTIAL_HEADER,
  type AgentService,
  type LeaseRef,
} from '@onejob/protocol/agent-service';
import type { Vault } from '../credentials.ts';
import { ControlPlaneError } from '../errors.ts';
import { adoptJob } from '../leases/adopt-job.ts';
import { buryLeases } from '../leases/expire-leases.ts';
import { extendLeases } from '../leases/extend-leases.ts';
import { finishJob } from '../leases/finish-job.ts';
import { type Lease, staleLease } from '../leases/lease-guard.ts';
import { leaseJob } from '../leases/lease-job.ts';
import type { LeaseTerms } from '../leases/lease-terms.ts';
import { offerJobs } from '../leases/offer-jobs.ts';
import { releaseLease } from '../leases/release-lease.ts';
import { reportProgress } from '../leases/report-progress.ts';
import { LEASES_PER_HEARTBEAT, LONG_POLL_MS } from '../limits.ts';
import { appendLog } from '../logs/append-log.ts';
import { recordEvents } from '../logs/record-events.ts';
import { announceAgent, findAgent, touchAgent, type AgentRow } from '../store/announce-agent.ts';
import { translateDatabaseError } from '../store/database-error.ts';
import { Wake } from '../store/notifier.ts';
import type { Store, Tx } from '../store/store.ts';
import type { JobRow } from '../store/transition-job.ts';
import { CommandLog, toCommand } from './commands.ts';
import { checkAnnouncement, toOffer } from './messages.ts';

/** Connect's codes for what this zone throws. Retryable ones are `unavailable`. */
function toConnectError(thrown: unknown, parts: AgentServiceParts): ConnectError {
  const error = translateDatabaseError(thrown);
  if (error instanceof ConnectError) return error;
  if (!(error instanceof ControlPlaneError)) {
    parts.reportFault(error, 'agent protocol');
    return new ConnectError(
      'The control plane failed.',
      Code.Internal,
      undefined,
      undefined,
      error,
    );
  }
  const codes: Partial<Record<ControlPlaneError['code'], Code>> = {
    lease_stale: Code.FailedPrecondition,
    offer_gone: Code.FailedPrecondition,
    adoption_refused: Code.FailedPrecondition,
    agent_unknown: Code.Unauthenticated,
    invalid_request: Code.InvalidArgument,
    not_found: Code.NotFound,
    database_unreachable: Code.Unavailable,
    shutting_down: Code.Unavailable,
  };
  const code = codes[error.code] ?? Code.Internal;
  return new ConnectError(error.message, code, undefined, undefined, error);
}

function toLease(lease: LeaseRef | undefined): Lease {
  if (lease === undefined) {
    throw new ControlPlaneError('invalid_request', 'The request names no lease.');
  }
  const { jobId, attempt, sessionCredential } = lease;
  const given = { jobId, attempt, epoch: Number(lease.epoch), sessionCredential };
  if (!isUuid(jobId)) throw staleLease(given);
  return given;
}

export type AgentServiceParts = {
  store: Store;
  vault: Vault;
  terms: LeaseTerms;
  /** Fires when the control plane stops: long polls end. */
  stopping: AbortSignal;
  /** A failure that is ours: for the operator, never for the agent. */
  reportFault(error: unknown, where: string): void;
};

type Impl = ServiceImpl<typeof AgentService>;

export function createAgentService(parts: AgentServiceParts): Impl {
  return { ...hostCalls(parts), ...leaseCalls(parts), ...reportCalls(parts) };
}

/** Runs one call for a known agent; translates what it throws. */
async function asAgent<T>(
  parts: AgentServiceParts,
  context: HandlerContext,
  call: (agent: AgentRow) => Promise<T>,
): Promise<T> {
  try {
    const credential = context.requestHeader.get(AGENT_CREDENTIAL_HEADER) ?? '';
    const agent = credential === '' ? undefined : await findAgent(parts.store, credential);
    if (agent !== undefined) return await call(agent);
    throw new ControlPlaneError('agent_unknown', 'This credential is no agent’s. Announce again.');
  } catch (error) {
    throw toConnectError(error, parts);
  }
}

/**
 * A long poll: asks until `look` has an answer, the client's time is over, or somebody leaves. The
 * last answer is given in any case.
 */
async function poll<T>(
  { store, stopping }: AgentServiceParts,
  context: HandlerContext,
  how: { key: string; waitMs: number; isAnswer: (value: T) => boolean },
  look: () => Promise<T>,
): Promise<T> {
  const signal = AbortSignal.any([context.signal, stopping]);
  const untilMs = performance.now() + Math.min(how.waitMs, LONG_POLL_MS);
  using wake = new Wake(store.notifier, [how.key]);
  for (;;) {
    const value = await look();
    const leftMs = untilMs - performance.now();
    if (how.isAnswer(value) || leftMs <= 0 || signal.aborted) return value;
    await wake.wait(leftMs, signal);
  }
}

/** What a host says of itself as a whole. */
function hostCalls(parts: AgentServiceParts): Pick<Impl, 'announce' | 'pollOffers' | 'heartbeat'> {
  const { store, terms } = parts;
  const told = new CommandLog();
  return {
    announce: async (request) => {
      try {
        const agent = checkAnnouncement(request);
        return await store.transaction(async (tx) => {
          const { row, credential } = await announceAgent(tx, agent);
          const buried = request.buried
            .map((lease) => ({ ...lease, epoch: Number(lease.epoch) }))
            .filter((lease) => isUuid(lease.jobId));
          await buryLeases(tx, row.id, buried, terms.leasesPerAttempt);
          return {
            agentId: row.id,
            agentCredential: credential,
            heartbeatMs: terms.heartbeatMs,
          };
        });
      } catch (error) {
        throw toConnectError(error, parts);
      }
    },

    pollOffers: async (request, context) =>
      await asAgent(parts, context, async (agent) => {
        const offer = async (tx: Tx): Promise<JobRow[]> => {
          await touchAgent(tx, agent.id, request.freeSlots);
          return await offerJobs(tx, agent, request.freeSlots, terms);
        };
        const offers = await poll(
          parts,
          context,
          { key: 'queue', waitMs: request.waitMs, isAnswer: (jobs) => jobs.length > 0 },
          async () => await store.transaction(offer, { mayBeLost: true }),
        );
        return { offers: offers.map(toOffer) };
      }),

    heartbeat: async (request, context) =>
      await asAgent(parts, context, async (agent) => {
        if (request.leases.length > LEASES_PER_HEARTBEAT) {
          throw new ControlPlaneError(
            'invalid_request',
            `A heartbeat names at most ${LEASES_PER_HEARTBEAT} leases.`,
          );
        }
        const leases = request.leases.map((lease) => ({ ...lease, epoch: Number(lease.epoch) }));
        const options = { freeSlots: request.freeSlots, terms };
        const commands = await poll(
          parts,
          context,
          {
            key: `agent:${agent.id}`,
            waitMs: request.waitMs,
            isAnswer: (all) => told.hasNews(agent.id, all),
          },
          async () =>
            await store.transaction(async (tx) => await extendLeases(tx, agent, leases, options)),
        );
        told.remember(agent.id, commands);
        return {
          commands: commands.map(toCommand),
          leaseMs: terms.leaseMs,
          drain: agent.drain,
        };
      }),
  };
}

/** The life of one lease. */
function leaseCalls(
  parts: AgentServiceParts,
): Pick<Impl, 'lease' | 'adopt' | 'finish' | 'release'> {
  const { store, vault, terms } = parts;
  return {
    lease: async (request, context) =>
      await asAgent(parts, context, async (agent) => {
        if (!isSandboxId(request.sandboxId) || request.requestKey === '') {
          throw new ControlPlaneError(
            'invalid_request',
            'A lease needs a sandbox id (sb and 16 hexadecimal digits) and a request key.',
          );
        }
        const granted = await store.transaction(
          async (tx) => await leaseJob(tx, agent, request, terms),
          { mayBeLost: true },
        );
        if (granted instanceof ControlPlaneError) throw granted;
        return {
          epoch: BigInt(granted.job.epoch),
          adoptionCredential: granted.adoptionCredential,
          sessionCredential: granted.sessionCredential,
          leaseMs: terms.leaseMs,
          keep: granted.job.keep_sandbox,
        };
      }),

    adopt: async (request, context) =>
      await asAgent(parts, context, async (agent) => {
        const adoption = await store.transaction(
          async (tx) =>
            await adoptJob(tx, agent, { ...request, epoch: Number(request.epoch) }, vault),
        );
        return {
          task: new TextEncoder().encode(JSON.stringify(adoption.task)),
          maskValues: adoption.maskValues,
          jobTimeoutMs: BigInt(adoption.task.jobTimeoutMs),
          sourceToken: adoption.task.token,
          sourcePath: adoption.task.source === null ? '' : adoption.sourcePath,
        };
      }),

    finish: async (request, context) =>
      await asAgent(parts, context, async (agent) => {
        const lease = toLease(request.lease);
        const { reason, message, outputs, notes } = request;
        const finish = { reason, message, outputs, notes, logRows: Number(request.logRows) };
        const job = await store.transaction(
          async (tx) =>
            await finishJob(tx, agent, lease, finish, {
              vault,
              leasesPerAttempt: terms.leasesPerAttempt,
            }),
        );
        // A platform failure before the adoption: no conclusion, the job is queued again.
        return { conclusion: job.conclusion ?? '', reason: job.end_reason ?? '' };
      }),

    release: async (request, context) =>
      await asAgent(parts, context, async (agent) => {
        const lease = toLease(request.lease);
        await store.transaction(
          async (tx) => await releaseLease(tx, agent, lease, request.why, terms.leasesPerAttempt),
        );
        return {};
      }),
  };
}

/** What a lease's sandbox has to say. */
function reportCalls(
  parts: AgentServiceParts,
): Pick<Impl, 'reportProgress' | 'appendLog' | 'reportEvents'> {
  const { store } = parts;
  return {
    reportProgress: async (request, context) =>
      await asAgent(parts, context, async (agent) => {
        const progress = {
          driver: request.driver.slice(0, 100),
          note: request.note.slice(0, 1000),
          phasesMs: request.phasesMs,
        };
        try {
          const lease = toLease(request.lease);
          await store.transaction(async (tx) => await reportProgress(tx, agent, lease, progress));
          return { stale: false };
        } catch (error) {
          const isStale = error instanceof ControlPlaneError && error.code === 'lease_stale';
          if (isStale) return { stale: true };
          throw error;
        }
      }),

    appendLog: async (request, context) =>
      await asAgent(parts, context, async (agent) => {
        const lease = toLease(request.lease);
        const rows: LogRow[] = request.rows.map((row) => ({
          step: row.step,
          atMs: Number(row.atMs),
          text: row.text,
        }));
        const batch = { offset: Number(request.offset), rows };
        const ack = await store.transaction(async (tx) => await appendLog(tx, agent, lease, batch));
        return { ack: BigInt(ack) };
      }),

    reportEvents: async (request, context) =>
      await asAgent(parts, context, async (agent) => {
        const lease = toLease(request.lease);
        const batch = { sequence: Number(request.sequence), events: request.eventsJson };
        const ack = await store.transaction(
          async (tx) => await recordEvents(tx, agent, lease, batch),
        );
        return { ack: BigInt(ack) };
      }),
  };
}
