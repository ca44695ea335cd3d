/**
 * The agent protocol: every call is checked, translated to one operation and answered. What a call
 * means is said where the operation is (leases/, logs/); here is only the border.
 */
import { Code, ConnectError, type HandlerContext, type ServiceImpl } from '@connectrpc/connect';
import { HEARTBEAT_MS, isSandboxId, isUuid, type LogRow } from '@onejob/protocol';
import {
  AGENT_CREDENTIAL_HEADER,
  type AgentService,
  type LeaseRef,
} from '@onejob/protocol/agent-service';
import { hashCredential, type Vault } from '../credentials.ts';
import { ControlPlaneError } from '../errors.ts';
import { adoptJob } from '../leases/adopt-job.ts';
import { buryLeases } from '../leases/expire-leases.ts';
import { encodeTask } from '../leases/encode-task.ts';
import { extendLeases } from '../leases/extend-leases.ts';
import { finishJob } from '../leases/finish-job.ts';
import { type Lease, staleLease } from '../leases/lease-guard.ts';
import { isFromElsewhere } from '../leases/job-origin.ts';
import { leaseJob } from '../leases/lease-job.ts';
import type { LeaseTerms } from '../leases/lease-terms.ts';
import { offerJobs } from '../leases/offer-jobs.ts';
import { releaseLease } from '../leases/release-lease.ts';
import { reportProgress } from '../leases/report-progress.ts';
import { LEASES_PER_HEARTBEAT, LONG_POLL_MS } from '../limits.ts';
import { appendLog } from '../logs/append-log.ts';
import { recordEvents } from '../logs/record-events.ts';
import {
  announceAgent,
  findAgent,
  findAgentAndTenant,
  touchAgent,
  type AgentRow,
} from '../store/announce-agent.ts';
import { translateDatabaseError } from '../store/database-error.ts';
import { Wake } from '../store/notifier.ts';
import type { Store } from '../store/store.ts';
import { CommandLog, toCommand } from './commands.ts';
import { checkAnnouncement, toFinish, toOffer } from './messages.ts';

/** Connect's codes for what this zone throws. Retryable ones are `unavailable`. */
function toConnectError(thrown: unknown, parts: AgentServiceParts): ConnectError {
  const error = translateDatabaseError(thrown);
  if (error instanceof ConnectError) return error;
  if (!(error instanceof ControlPlaneError) || error.code === 'disk_full') {
    parts.reportFault(error, 'agent protocol');
  }
  if (!(error instanceof ControlPlaneError)) {
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
    disk_full: Code.Unavailable,
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
  /** One person's: no job of it is from elsewhere. */
  isPersonal: boolean;
  /** Fires when the control plane stops: long polls end. */
  stopping: AbortSignal;
  /** A failure that is ours: for the operator, never for the agent. */
  reportFault(error: unknown, where: string): void;
};

type Impl = ServiceImpl<typeof AgentService>;

export function createAgentService(parts: AgentServiceParts): Impl {
  return { ...hostCalls(parts), ...leaseCalls(parts), ...reportCalls(parts) };
}

const credentialOf = (context: HandlerContext): string =>
  context.requestHeader.get(AGENT_CREDENTIAL_HEADER) ?? '';

/** What was found for a credential; throws `agent_unknown` when that is nothing. */
function known<T>(found: T | undefined): T {
  if (found !== undefined) return found;
  throw new ControlPlaneError('agent_unknown', 'This credential is no agent’s. Announce again.');
}

/** Runs one call; translates what it throws. */
async function answer<T>(parts: AgentServiceParts, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw toConnectError(error, parts);
  }
}

/** The same for a known agent. */
async function asAgent<T>(
  parts: AgentServiceParts,
  context: HandlerContext,
  call: (agent: AgentRow) => Promise<T>,
): Promise<T> {
  return await answer(
    parts,
    async () => await call(known(await findAgent(parts.store, credentialOf(context)))),
  );
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
    announce: async (request) =>
      await answer(parts, async () => {
        const said = checkAnnouncement(request);
        return await store.transaction(async (tx) => {
          const { row, credential } = await announceAgent(tx, said);
          const buried = request.buried
            .map((lease) => ({ ...lease, epoch: Number(lease.epoch) }))
            .filter((lease) => isUuid(lease.jobId));
          await buryLeases(tx, row.id, buried, terms.leasesPerAttempt);
          return { agentId: row.id, agentCredential: credential, heartbeatMs: HEARTBEAT_MS };
        });
      }),

    pollOffers: async (request, context) =>
      await answer(parts, async () => {
        const credentialHash = hashCredential(credentialOf(context));
        const offers = await poll(
          parts,
          context,
          { key: 'queue', waitMs: request.waitMs, isAnswer: (jobs) => jobs.length > 0 },
          async () => {
            // The call itself says who asks: noting it is finding the agent.
            const agent = await store.statement(
              async (writer) =>
                await touchAgent(writer, credentialHash, request.freeSlots, { mayBeLost: true }),
            );
            return await offerJobs(store, known(agent), request.freeSlots, terms);
          },
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
            isAnswer: (all) => told.hasNews(agent.id, leases, all),
          },
          async () =>
            await store.transaction(async (tx) => await extendLeases(tx, agent, leases, options)),
        );
        // Nobody hears an answer to a client that has left.
        if (!context.signal.aborted) told.remember(agent.id, leases, commands);
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
      await answer(parts, async () => {
        const credential = credentialOf(context);
        const { agent, tenant } = known(await findAgentAndTenant(store, credential, request.jobId));
        if (!isSandboxId(request.sandboxId) || request.requestKey === '') {
          throw new ControlPlaneError(
            'invalid_request',
            'A lease needs a sandbox id (sb and 16 hexadecimal digits) and a request key.',
          );
        }
        const granted = await leaseJob(store, agent, tenant, request, terms);
        return {
          epoch: BigInt(granted.job.epoch),
          adoptionCredential: granted.adoptionCredential,
          sessionCredential: granted.sessionCredential,
          leaseMs: terms.leaseMs,
          keep: granted.job.keep_sandbox,
          tenant: tenant ?? '',
          fromElsewhere: await isFromElsewhere(store, request.jobId, parts),
        };
      }),

    adopt: async (request, context) =>
      await asAgent(parts, context, async (agent) => {
        const adoption = await store.transaction(
          async (tx) =>
            await adoptJob(
              tx,
              agent,
              { ...request, epoch: Number(request.epoch) },
              { vault, terms },
            ),
        );
        return {
          task: encodeTask(adoption.task),
          maskValues: adoption.maskValues,
          jobTimeoutMs: BigInt(adoption.task.jobTimeoutMs),
          sourceToken: adoption.task.token,
          sourcePath: adoption.task.source === null ? '' : adoption.sourcePath,
          results: adoption.results,
          egress: adoption.egress,
        };
      }),

    finish: async (request, context) =>
      await asAgent(parts, context, async (agent) => {
        const lease = toLease(request.lease);
        const finish = toFinish(request);
        const job = await store.transaction(
          async (tx) => await finishJob(tx, agent, lease, finish, { vault, terms }),
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
