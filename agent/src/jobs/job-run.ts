/**
 * One job on this host, from its offer to its burial. One task drives the sandbox; everything else
 * (heartbeat commands, the guest, the machine's end) only records what it saw and wakes that task.
 *
 *     offered -> leased -> provisioned -> greeted -> adopted -> ended -> killed -> buried -> finished
 *                  '-----------'------------'--> buried -> released (back to the queue)
 *
 * Secrets are in this object from adoption to the end, in memory only. The journal is closed when
 * nothing is left on the host and the control plane has heard of the end; else the reaper of the
 * next start takes over from it.
 */
import { randomUUID } from 'node:crypto';
import {
  explainError,
  OFFER_MS,
  type EndReason,
  type GuestMessage,
  type JobId,
  type SandboxId,
} from '@onejob/protocol';
import type { AdoptResponse, LeaseResponse, Offer } from '@onejob/protocol/agent-service';
import { MASKS_PER_JOB } from '@onejob/protocol/limits';
import { callUntilAnswered } from '../control-plane/client.ts';
import { AgentError } from '../errors.ts';
import type { JobActions } from '../actions/job-actions.ts';
import { PlatformActions } from '../actions/platform-actions.ts';
import type { GuardContext } from '../guard/guard.ts';
import { answerName } from '../guard/name-answer.ts';
import { NOTHING, readJobPolicy, type JobPolicy } from '../guard/job-policy.ts';
import type { JobResults } from '../results/job-results.ts';
import { serveResults } from '../results/results-endpoint.ts';
import { GuestLink } from '../link/guest-link.ts';
import { newIdentity } from '../link/identity.ts';
import {
  DELIVER_PATIENCE_MS,
  HELLO_TIMEOUT_MS,
  KILL_AFTER_GRACE_MS,
  LOG_END_PATIENCE_MS,
  MACHINE_END_PATIENCE_MS,
} from '../limits.ts';
import type { SandboxNetwork } from '../network/networks.ts';
import type { SandboxHandle } from '../sandbox/driver.ts';
import type { Journal, JournalLine } from '../sandbox/journal.ts';
import type { SandboxPlace } from '../sandbox/place.ts';
import { shapeOf } from '../sandbox/shape.ts';
import type { ProvisionStack } from '../sandbox/stack.ts';
import type { AgentContext } from './agent-context.ts';
import { atMost } from './at-most.ts';
import { endReason, refusalOf, type Observed } from './end-reason.ts';
import { keepFiles } from './kept-files.ts';
import { jobTimeoutOf, LeaseReports } from './lease-reports.ts';
import type { LeaseHolder, LeaseRef } from './leases.ts';
import { maskEvent } from './mask-event.ts';
import { openResults } from './open-results.ts';
import { provisionNetwork } from './provision-network.ts';
import { SourceProxy, type Source } from './source-proxy.ts';
import { discardMachine, takeMachine, type TakenPlace } from './take-machine.ts';

export class JobRun implements LeaseHolder {
  readonly lease: LeaseRef;
  readonly #agent: AgentContext;
  readonly #offer: Offer;
  readonly #answer: LeaseResponse;
  readonly #sandboxId: SandboxId;
  readonly #place: SandboxPlace;
  /** The machine, where one waited for a job. */
  #waited: SandboxHandle | undefined;
  readonly #journal: Journal;
  readonly #stack: ProvisionStack;
  readonly #reports: LeaseReports;
  readonly #actions: JobActions;
  /** Who asks the guard. */
  readonly #egress: GuardContext;
  /** Nothing before the adoption, whose answer says it. */
  #policy: JobPolicy = NOTHING;
  #tenant: string | undefined;
  /** Fires when the sandbox must die at once: fenced, killed by request, or the agent stops. */
  readonly #stop = new AbortController();
  readonly #ended = Promise.withResolvers<void>();
  #hasEnded = false;
  readonly #observed: Observed = {
    finished: undefined,
    violation: undefined,
    asked: undefined,
    machine: undefined,
    linkClosed: undefined,
    hostFailure: undefined,
    oomKills: 0,
    isHostDiskFull: false,
  };
  #fenced: string | undefined;
  /** `asked`: it may have happened, the answer is not here (yet). */
  #adoption: 'no' | 'asked' | 'yes' = 'no';
  #isTaskSent = false;
  #agentStopped = false;
  #source: Source | undefined;
  #results: JobResults | undefined;
  #network: SandboxNetwork | undefined;
  #link: GuestLink | undefined;
  #masks = 0;
  #notes: string[] = [];
  #backstop: NodeJS.Timeout | undefined;

  /** Takes the offer and sees it to its end; nothing happens when somebody else was quicker. */
  static async lease(agent: AgentContext, offer: Offer, stopping: AbortSignal): Promise<void> {
    const taken = await takeMachine(agent, offer);
    const { sandboxId } = taken.place;
    const { jobId, attempt } = offer;
    const request = { jobId, attempt, sandboxId, requestKey: randomUUID() };
    const leasedAt = performance.now();
    // Not ended by `stopping`: a lease that was given must be given back.
    const answer = await callUntilAnswered(
      async (signal) => await agent.client.rpc.lease(request, { signal }),
      AbortSignal.any([agent.closing, AbortSignal.timeout(OFFER_MS)]),
    ).catch((error: unknown) => {
      taken.giveBack();
      if (error instanceof AgentError && error.code === 'lease_gone') return undefined;
      throw error;
    });
    if (answer === undefined) return;
    const run = new JobRun(agent, offer, answer, taken);
    const letGo = agent.leases.hold(run, leasedAt, answer.leaseMs);
    const stop = (): void => run.#agentStops();
    stopping.addEventListener('abort', stop, { once: true });
    try {
      if (stopping.aborted) stop();
      await run.#drive();
    } finally {
      stopping.removeEventListener('abort', stop);
      run.#reports.stop();
      letGo();
      taken.place.leave();
    }
  }

  private constructor(
    agent: AgentContext,
    offer: Offer,
    answer: LeaseResponse,
    { place, handle }: TakenPlace,
  ) {
    this.#agent = agent;
    this.#offer = offer;
    this.#answer = answer;
    const { sandboxId } = place;
    this.#sandboxId = sandboxId;
    this.#waited = handle;
    this.lease = {
      jobId: offer.jobId,
      attempt: offer.attempt,
      epoch: answer.epoch,
      sessionCredential: answer.sessionCredential,
    };
    this.#place = place;
    this.#journal = place.journal;
    this.#stack = place.stack;
    const tenant = (): string | undefined => this.#tenant;
    const platform = new PlatformActions({ client: agent.client, lease: this.lease, tenant });
    const jobId = offer.jobId as JobId;
    this.#egress = { sandboxId, jobId, policy: () => this.#policy };
    this.#actions = agent.actions.forJob(this.#egress, platform);
    this.#reports = new LeaseReports({
      client: agent.client,
      lease: this.lease,
      closing: agent.closing,
      onGone: (why) => this.fence(why),
    });
  }

  // ---- LeaseHolder -------------------------------------------------------------------------
  cancel(reason: 'cancelled' | 'fail_fast', graceMs: number, kill: boolean): void {
    const isFirst = this.#observed.asked === undefined;
    this.#observed.asked ??= reason;
    if (kill || !this.#isTaskSent) {
      this.#stopAtOnce(new AgentError('stopped', 'The job was cancelled.'));
    } else if (isFirst && !this.#hasEnded) {
      const timeoutMs = this.#agent.cancelTimeoutMs;
      this.#link?.send({ type: 'cancel', reason: 'cancelled', graceMs, timeoutMs });
      this.#backstop = setTimeout(() => this.#end(), timeoutMs + KILL_AFTER_GRACE_MS);
    }
  }

  fence(why: string): void {
    this.#fenced ??= why;
    this.#stopAtOnce(new AgentError('lease_gone', `The lease is over: ${why}.`));
  }

  // ---- the one driver ----------------------------------------------------------------------

  async #drive(): Promise<void> {
    const { jobId, attempt, epoch } = this.lease;
    let failure: unknown;
    let handle: SandboxHandle | undefined;
    try {
      const epochText = String(epoch);
      this.#journal.write({ entry: 'lease', jobId: jobId as JobId, attempt, epoch: epochText });
      handle = await this.#provision();
      const adoption = await this.#adopt(handle);
      await this.#attend(handle, adoption);
    } catch (error) {
      failure = error;
    }
    const end = this.#reasonOf(failure); // before our own kill is among what was observed
    const isBuried = await this.#bury(handle);
    const isTold = await this.#tell(end, failure);
    if (isBuried && isTold) this.#journal.close();
  }

  async #provision(): Promise<SandboxHandle> {
    const chosen = this.#agent.chooseDriver(this.#offer.driver);
    const { driver, probe } = chosen;
    this.#reports.progress(driver.name, probe.note, {});
    const image = probe.bootsImage ? await this.#agent.image(this.#offer) : null;
    this.#stop.signal.throwIfAborted();
    if (this.#answer.keep) this.#waited = await discardMachine(this.#place, this.#waited);
    if (this.#waited !== undefined) return this.#waited;
    await this.#place.makeDirectory();
    const place = { directory: this.#place.directory, signal: this.#stop.signal };
    const request = { egress: this.#egress, ...place };
    this.#network = await provisionNetwork(this.#agent.networks, chosen, request, this.#stack);
    const kind = {
      ...{ shape: shapeOf(this.#offer), image },
      tenant: this.#network && this.#answer.tenant,
    };
    const handle = await driver.provision(
      {
        ...place,
        sandboxId: this.#sandboxId,
        origin: { tenant: this.#answer.tenant, isFromElsewhere: this.#answer.fromElsewhere },
        ...kind,
        guestRunnerPath: this.#agent.guestRunnerPath,
        keep: this.#answer.keep,
        network: this.#network?.machine,
      },
      this.#stack,
    );
    const card = this.#network && { hasIpv6: this.#network.machine.hasIpv6 };
    this.#agent.snapshots.want(driver, { ...kind, network: card });
    return handle;
  }

  async #adopt(handle: SandboxHandle): Promise<AdoptResponse> {
    const startedAt = performance.now();
    void handle.ended.then((end) => {
      this.#observed.machine = end;
      this.#end();
    });
    this.#link = this.#openLink(handle);
    await this.#whileAlive(this.#link.ready, 'say hello', HELLO_TIMEOUT_MS);
    const greetedAt = performance.now();
    this.#journal.write({ entry: 'adopting' });
    const { adoptionCredential } = this.#answer;
    this.#adoption = 'asked';
    const adoption = await this.#reports
      .adopt({ adoptionCredential, requestKey: randomUUID() }, this.#stop.signal)
      .catch((error: unknown) => {
        if (error instanceof AgentError && error.code === 'lease_gone') this.#adoption = 'no';
        throw error;
      });
    this.#adoption = 'yes';
    this.#journal.write({ entry: 'adopted', jobTimeoutMs: jobTimeoutOf(adoption) });
    const phasesMs = { hello: greetedAt - startedAt, adopt: performance.now() - greetedAt };
    const isWaiting = this.#waited !== undefined;
    const note = handle.note + (isWaiting ? '; it waited for a job' : '');
    const before = isWaiting ? {} : handle.phasesMs;
    this.#reports.progress(handle.driver, note, { ...before, ...phasesMs });
    if (handle.lacks !== undefined) this.#notes.push(`Machine: ${handle.lacks}.`);
    return adoption;
  }

  /** Hands the task over and waits for the end, whatever it is. */
  async #attend(handle: SandboxHandle, adoption: AdoptResponse): Promise<void> {
    for (const value of adoption.maskValues) this.#reports.addMask(value);
    if (this.#hasEnded) throw this.#endedEarly('live to get its job');
    this.#source = {
      path: adoption.sourcePath,
      token: adoption.sourceToken,
      sessionCredential: this.lease.sessionCredential,
    };
    this.#tenant = adoption.results?.repository.split('/')[0];
    this.#results = openResults(this.#agent.results, this.lease, adoption.results);
    this.#policy = readJobPolicy(adoption.egress);
    await this.#network?.open(this.#stop.signal);
    const killAfterMs = jobTimeoutOf(adoption) + this.#agent.cancelTimeoutMs + KILL_AFTER_GRACE_MS;
    const deadline = setTimeout(() => {
      this.#observed.asked ??= 'deadline';
      this.#end();
    }, killAfterMs);
    try {
      this.#isTaskSent = true;
      this.#link?.sendTask(adoption.task);
      await this.#ended.promise;
      await this.#lastWords(handle);
    } finally {
      clearTimeout(deadline);
    }
    this.#observed.hostFailure = this.#actions.failure;
    this.#observed.oomKills = handle.oomKills();
    this.#observed.isHostDiskFull = await handle.isHostDiskFull();
  }

  /** What explains an end may come a moment after it, and so may the last rows of a log. */
  async #lastWords(handle: SandboxHandle): Promise<void> {
    const { finished, linkClosed } = this.#observed;
    if (this.#stop.signal.aborted) return;
    if (finished !== undefined && this.#link !== undefined) {
      await atMost(LOG_END_PATIENCE_MS, this.#link.logEnded);
    } else if (linkClosed !== undefined && this.#isUnexplained()) {
      await atMost(MACHINE_END_PATIENCE_MS, handle.ended);
    }
  }

  /** True: nothing is left. Every step is taken, whatever fails before it. */
  async #bury(handle: SandboxHandle | undefined): Promise<boolean> {
    clearTimeout(this.#backstop);
    this.#link?.close();
    this.#actions.close();
    let isBuried = true;
    const steps = [
      async () => await handle?.kill(),
      async () => this.#notes.push(...((await this.#network?.close()) ?? [])),
      async () => await this.#results?.close(),
      async () => {
        if (this.#answer.keep) this.#notes.push(await keepFiles(this.#agent, this.#sandboxId));
      },
      // Once more: what was busy a moment ago need not be now.
      async () => await this.#stack.bury().catch(async () => await this.#stack.bury()),
    ];
    for (const step of steps) {
      try {
        await step();
      } catch (error) {
        isBuried = false;
        this.#agent.warn(explainError(error));
      }
    }
    if (isBuried) this.#note({ entry: 'buried' });
    return isBuried;
  }

  /** True: the control plane has heard, or must not. */
  async #tell(end: { reason: EndReason; message: string }, failure: unknown): Promise<boolean> {
    const egress = this.#agent.egressOf(this.#sandboxId);
    const notes = [...this.#notes, ...egress.notes];
    if (this.#fenced !== undefined) return true;
    const patience = setTimeout(() => this.#reports.stop(), DELIVER_PATIENCE_MS);
    try {
      // An adoption that may have happened can only be finished.
      if (this.#adoption === 'no' && refusalOf(failure) === undefined) {
        return await this.#reports.release(explainError(failure));
      }
      this.#note({ entry: 'ended', reason: end.reason });
      const outputs = this.#observed.finished?.outputs ?? {};
      return await this.#reports.finish({ ...end, outputs, notes, egress });
    } finally {
      clearTimeout(patience);
    }
  }

  #reasonOf(failure: unknown): { reason: EndReason; message: string } {
    if (this.#observed.asked === undefined) {
      if (this.#agentStopped && this.#isUnexplained()) {
        const message = 'The agent was stopped while the job ran. Run the job again.';
        return { reason: 'agent_died', message };
      }
      const refusal = refusalOf(failure);
      if (refusal !== undefined) return refusal;
      if (failure !== undefined) {
        return { reason: 'platform_error', message: explainError(failure) };
      }
    }
    return endReason(this.#observed);
  }

  /** A line that only tells where we are: that it cannot be written ends nothing. */
  #note(line: JournalLine): void {
    try {
      this.#journal.write(line);
    } catch (error) {
      this.#agent.warn(explainError(error));
    }
  }

  // ---- the link ----------------------------------------------------------------------------

  #openLink(handle: SandboxHandle): GuestLink {
    const proxy = new SourceProxy({ client: this.#agent.client, source: () => this.#source });
    return new GuestLink(handle.carriers, {
      hello: () =>
        newIdentity({
          sandboxId: this.#sandboxId,
          network: this.#network === undefined ? 'link' : 'nat',
          steered: handle.steered,
          actions: this.#agent.actions.offer,
        }),
      message: async (message) => {
        this.#guarded(() => this.#onMessage(message));
        await this.#reports.events.room();
      },
      log: (message, acknowledge) =>
        this.#guarded(() => this.#reports.logs.accept(message, acknowledge)),
      connect: (stream, authority) => {
        void this.#agent.guard.handleConnect(stream, authority, this.#egress);
      },
      name: (stream, name) => void answerName(stream, name, this.#agent.guard, this.#egress),
      action: (stream, path) => void this.#actions.answer(stream, path),
      source: (stream, headers) => void proxy.handle(stream, headers),
      results: (stream, headers) => {
        const warn = (message: string): void => this.#agent.warn(message);
        void serveResults({ results: this.#results, warn }, stream, headers);
      },
      violation: (error) => this.#violation(error),
      closed: (why) => {
        this.#observed.linkClosed ??= why;
        this.#end();
      },
    });
  }

  /** Only `ready` comes before the task: the link sees to it. */
  #onMessage(message: GuestMessage): void {
    switch (message.type) {
      case 'ready':
        return;
      case 'mask':
        if (++this.#masks > MASKS_PER_JOB) {
          throw new AgentError('guest_protocol', `The job masks over ${MASKS_PER_JOB} values.`);
        }
        return this.#reports.addMask(message.value);
      case 'step':
      case 'annotation':
      case 'summary':
      case 'action':
      case 'environment':
        return this.#reports.events.accept(maskEvent(message, this.#reports.mask));
      case 'finished':
        this.#observed.finished ??= message;
        return this.#end();
    }
  }

  #guarded(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#violation(error);
    }
  }

  #violation(error: unknown): void {
    this.#observed.violation ??= explainError(error);
    this.#end();
  }

  /** The link broke, and it is not said yet whether the machine died with it. */
  #isUnexplained(): boolean {
    const { finished, violation, asked, machine } = this.#observed;
    return [finished, violation, asked, machine].every((one) => one === undefined);
  }

  // ---- ends --------------------------------------------------------------------------------

  #agentStops(): void {
    this.#agentStopped = true;
    this.#stopAtOnce(new AgentError('stopped', 'The agent was stopped.'));
  }

  #stopAtOnce(why: AgentError): void {
    this.#stop.abort(why);
    this.#end();
  }

  #end(): void {
    this.#hasEnded = true;
    this.#ended.resolve();
  }

  /** Waits for the guest, but not longer than the machine lives, the lease holds, or the limit. */
  async #whileAlive(work: Promise<void>, what: string, limitMs: number): Promise<void> {
    const ended = this.#ended.promise.then((): never => {
      throw this.#endedEarly(what);
    });
    const isDone = await atMost(limitMs, Promise.race([ended, work]));
    if (isDone) return;
    throw new AgentError('boot_timeout', `The guest did not ${what} in ${limitMs} ms.`);
  }

  #endedEarly(what: string): Error {
    if (this.#stop.signal.aborted) return this.#stop.signal.reason as Error;
    const { violation, machine, linkClosed } = this.#observed;
    const why = violation ?? machine?.detail ?? linkClosed ?? 'it was stopped';
    return new AgentError('boot_failed', `The guest did not ${what}: ${why}.`);
  }
}
