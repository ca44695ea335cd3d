/**
 * The far side of the agent, for tests: the real service definition behind the real router on a Unix
 * socket, with a handful of jobs in memory and switches for what can go wrong. It keeps what it was
 * told, for the tests to look at.
 */
import { randomUUID } from 'node:crypto';
import { createServer, type Http2Server, type ServerHttp2Session } from 'node:http2';
import { Code, ConnectError, type ConnectRouter } from '@connectrpc/connect';
import { connectNodeAdapter } from '@connectrpc/connect-node';
import {
  AGENT_CREDENTIAL_HEADER,
  AgentService,
  type AnnounceRequest,
  type Command,
  type FinishRequest,
  type LeaseRef,
} from '@onejob/protocol/agent-service';

/** What the scripted guest does, in order. */
export type Acts = [act: string, argument?: unknown][];

export type FakeJob = {
  jobId: string;
  driver: string;
  tenant: string;
  fromElsewhere: boolean;
  acts: Acts;
  state: 'queued' | 'offered' | 'leased' | 'running' | 'finished';
  offeredAt: number;
  epoch: bigint;
  session: string;
  leases: number;
  adoptions: number;
  adoptKey: string;
  maskValues: string[];
  jobTimeoutMs: number;
  results: { token: string; repository: string; runId: string; writableRef: string } | undefined;
  egress: string[];
  keep: boolean;
  /** Notes of its progress, in order. */
  progress: string[];
  released: string[];
  log: string[];
  events: { type: string; name?: string }[];
  finished: FinishRequest | undefined;
  cancel: { reason: string; graceMs: number; kill: boolean } | undefined;
  told: string;
  heartbeats: number;
};

/** An offer whose answer was lost is made again, soon. */
const OFFER_MS = 300;
const isFree = (job: FakeJob): boolean =>
  job.state === 'queued' ||
  (job.state === 'offered' && performance.now() - job.offeredAt > OFFER_MS);

const gone = (): ConnectError => new ConnectError('stale lease', Code.FailedPrecondition);

export class FakeControlPlane implements AsyncDisposable {
  readonly jobs = new Map<string, FakeJob>();
  announced: AnnounceRequest[] = [];
  leaseMs = 60_000;
  /** Called before an adoption is decided, and after: may throw, wait, or change things. */
  beforeAdopt: (job: FakeJob) => void | Promise<void> = () => {};
  afterAdopt: (job: FakeJob) => void | Promise<void> = () => {};
  #credential = '';
  #told = '';
  #server: Http2Server | undefined;
  readonly #sessions = new Set<ServerHttp2Session>();
  #changed = Promise.withResolvers<void>();
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  async start(): Promise<this> {
    const routes = (router: ConnectRouter): void => this.#routes(router);
    const server = createServer(connectNodeAdapter({ routes }));
    server.on('session', (session) => {
      this.#sessions.add(session);
      session.on('error', () => {}).on('close', () => this.#sessions.delete(session));
    });
    await new Promise<void>((listening) => server.listen(this.path, listening));
    this.#server = server;
    return this;
  }

  /** Like a crash: connections break, the name is gone. What it knows stays. */
  async stop(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const closed = new Promise((resolve) => server.close(resolve));
    for (const session of this.#sessions) session.destroy();
    this.change();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  forgetAgents(): void {
    this.#credential = 'of nobody';
    this.change();
  }

  /** Wakes every long poll. */
  change(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers<void>();
  }

  queue(acts: Acts, more: Partial<FakeJob> = {}): FakeJob {
    const job: FakeJob = {
      jobId: randomUUID(),
      driver: 'process',
      tenant: 'trusted',
      fromElsewhere: false,
      acts,
      state: 'queued',
      offeredAt: 0,
      epoch: 0n,
      session: '',
      leases: 0,
      adoptions: 0,
      adoptKey: '',
      maskValues: [],
      jobTimeoutMs: 60_000,
      results: undefined,
      egress: ['audit'],
      keep: false,
      released: [],
      log: [],
      events: [],
      finished: undefined,
      cancel: undefined,
      progress: [],
      told: '',
      heartbeats: 0,
      ...more,
    };
    this.jobs.set(job.jobId, job);
    this.change();
    return job;
  }

  cancel(job: FakeJob, graceMs: number, kill = false, reason = 'cancelled'): void {
    job.cancel = { reason, graceMs, kill };
    this.change();
  }

  /** Gives the job away: the agent's lease is over. */
  takeAway(job: FakeJob): void {
    job.epoch += 1n;
    this.change();
  }

  #held(lease: LeaseRef | undefined): FakeJob {
    const job = this.jobs.get(lease?.jobId ?? '');
    if (job === undefined || lease === undefined) throw gone();
    if (job.epoch !== lease.epoch || job.session !== lease.sessionCredential) throw gone();
    return job;
  }

  async #poll<T>(
    waitMs: number,
    look: () => T | undefined,
    signal: AbortSignal,
  ): Promise<T | undefined> {
    const until = performance.now() + waitMs;
    for (;;) {
      const found = signal.aborted ? undefined : look(); // nobody would hear of it
      const leftMs = until - performance.now();
      if (found !== undefined || leftMs <= 0 || signal.aborted || this.#server === undefined)
        return found;
      let timer: NodeJS.Timeout | undefined;
      const pause = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, Math.min(leftMs, OFFER_MS));
        signal.addEventListener('abort', () => resolve(), { once: true });
      });
      await Promise.race([pause, this.#changed.promise]);
      clearTimeout(timer);
    }
  }

  #commands(leases: readonly LeaseRef[]) {
    return leases.flatMap((lease) => {
      const { jobId, attempt, epoch } = lease;
      const what = ((): Command['what'] | undefined => {
        try {
          const { cancel } = this.#held(lease);
          if (cancel === undefined) return undefined;
          return { case: 'cancel', value: { ...cancel, $typeName: 'onejob.agent.v1.Cancel' } };
        } catch {
          return { case: 'fenced', value: { $typeName: 'onejob.agent.v1.Fenced' } };
        }
      })();
      return what === undefined ? [] : [{ jobId, attempt, epoch, what }];
    });
  }

  #routes(router: ConnectRouter): void {
    const known = (context: { requestHeader: Headers }): void => {
      if (context.requestHeader.get(AGENT_CREDENTIAL_HEADER) === this.#credential) return;
      throw new ConnectError('who are you?', Code.Unauthenticated);
    };
    router.service(AgentService, {
      announce: (request) => {
        this.announced.push(request);
        this.#credential = randomUUID();
        return { agentId: 'a', agentCredential: this.#credential, heartbeatMs: 10_000 };
      },
      pollOffers: async (request, context) => {
        known(context);
        const job = await this.#poll(
          request.waitMs,
          () => [...this.jobs.values()].find((one) => isFree(one)),
          context.signal,
        );
        if (job === undefined || context.signal.aborted) return { offers: [] };
        Object.assign(job, { state: 'offered', offeredAt: performance.now() });
        const shape = { cpus: 1, memoryBytes: 1n << 30n, diskBytes: 1n << 30n };
        return { offers: [{ jobId: job.jobId, attempt: 1, shape, driver: job.driver }] };
      },
      lease: (request, context) => {
        known(context);
        const job = this.jobs.get(request.jobId);
        if (job?.state !== 'offered') throw gone();
        Object.assign(job, { state: 'leased', epoch: job.epoch + 1n, session: randomUUID() });
        job.leases += 1;
        const { epoch, session, keep, tenant, fromElsewhere } = job;
        return {
          epoch,
          adoptionCredential: 'once',
          sessionCredential: session,
          leaseMs: this.leaseMs,
          keep,
          tenant,
          fromElsewhere,
        };
      },
      reportProgress: (request, context) => {
        known(context);
        try {
          this.#held(request.lease).progress.push(request.note);
        } catch {
          return { stale: true };
        }
        return { stale: false };
      },
      adopt: async (request, context) => {
        known(context);
        const job = this.jobs.get(request.jobId);
        if (job === undefined || job.epoch !== request.epoch) throw gone();
        await this.beforeAdopt(job);
        if (job.state === 'running' && job.adoptKey !== request.requestKey) throw gone();
        if (job.state !== 'running') job.adoptions += 1;
        Object.assign(job, { state: 'running', adoptKey: request.requestKey });
        await this.afterAdopt(job);
        return {
          task: Buffer.from(JSON.stringify({ acts: job.acts })),
          maskValues: job.maskValues,
          jobTimeoutMs: BigInt(job.jobTimeoutMs),
          sourceToken: 'token',
          sourcePath: '',
          egress: job.egress,
          ...(job.results === undefined ? {} : { results: job.results }),
        };
      },
      heartbeat: async (request, context) => {
        known(context);
        for (const { jobId } of request.leases) {
          const job = this.jobs.get(jobId);
          if (job !== undefined) job.heartbeats += 1;
        }
        const news = await this.#poll(
          request.waitMs,
          () => {
            const commands = this.#commands(request.leases);
            const text = commands.map((one) => JSON.stringify([one.jobId, one.what])).join();
            const isNew = text !== '' && text !== this.#told;
            this.#told = text;
            return isNew ? commands : undefined;
          },
          context.signal,
        );
        return {
          commands: news ?? this.#commands(request.leases),
          leaseMs: this.leaseMs,
          drain: false,
        };
      },
      appendLog: (request, context) => {
        known(context);
        const job = this.#held(request.lease);
        const texts = request.rows
          .slice(job.log.length - Number(request.offset))
          .map((one) => one.text);
        job.log.push(...texts);
        return { ack: BigInt(job.log.length) };
      },
      reportEvents: (request, context) => {
        known(context);
        const job = this.#held(request.lease);
        const fresh = request.eventsJson.slice(job.events.length - Number(request.sequence));
        job.events.push(...fresh.map((text) => JSON.parse(text) as { type: string }));
        return { ack: BigInt(job.events.length) };
      },
      finish: (request, context) => {
        known(context);
        const job = this.#held(request.lease);
        job.finished ??= request;
        job.state = 'finished';
        this.change();
        return { conclusion: '', reason: request.reason };
      },
      release: (request, context) => {
        known(context);
        const job = this.#held(request.lease);
        if (job.state === 'running') throw gone();
        job.released.push(request.why);
        job.state = 'finished'; // once is enough for a test
        this.change();
        return {};
      },
    });
  }
}
