/** A client that speaks the agent protocol step by step, as a test wants it, over a real connection. */
import { randomUUID } from 'node:crypto';
import { type Client, Code, ConnectError } from '@connectrpc/connect';
import { type JobTask, newSandboxId } from '@onejob/protocol';
import type {
  AdoptResponse,
  AgentService,
  EgressRecord,
  LeaseResponse,
  Offer,
} from '@onejob/protocol/agent-service';
import type { Platform } from './_platform.ts';

type AgentClient = Client<typeof AgentService>;

export type SaidEgress = Partial<Omit<EgressRecord, '$typeName' | '$unknown'>>;

export type HeldLease = {
  jobId: string;
  attempt: number;
  epoch: bigint;
  sessionCredential: string;
};

/** For a lease that may be refused: its offer is gone. Anything else is thrown on. */
export function isGone(error: unknown): undefined {
  if (error instanceof ConnectError && error.code === Code.FailedPrecondition) return undefined;
  throw error;
}

export class TestAgent {
  readonly client: AgentClient;
  readonly id: string;
  readonly credential: string;

  private constructor(client: AgentClient, id: string, credential: string) {
    this.client = client;
    this.id = id;
    this.credential = credential;
  }

  /** An agent that announced itself in words of its own. */
  static of(client: AgentClient, id: string, credential: string): TestAgent {
    return new TestAgent(client, id, credential);
  }

  static async announce(
    platform: Platform,
    options: { host?: string; labels?: string[]; drivers?: string[]; slots?: number } = {},
  ): Promise<TestAgent> {
    const said = await platform.agentClient().announce({
      hostName: options.host ?? 'host-1',
      labels: options.labels ?? ['ubuntu-latest', 'self-hosted'],
      drivers: (options.drivers ?? ['process']).map((name) => ({
        name,
        works: true,
        ownKernel: name !== 'process',
        note: '',
      })),
      slots: options.slots ?? 4,
      cpus: 2,
      memoryBytes: 1024n ** 3n,
      agentVersion: 'test',
    });
    const client = platform.agentClient(said.agentCredential);
    return new TestAgent(client, said.agentId, said.agentCredential);
  }

  async poll(freeSlots = 4, waitMs = 0): Promise<Offer[]> {
    return (await this.client.pollOffers({ freeSlots, waitMs })).offers;
  }

  async lease(offer: Offer, requestKey: string = randomUUID()): Promise<Leased> {
    const { jobId, attempt } = offer;
    const sandboxId = newSandboxId();
    const answer = await this.client.lease({ jobId, attempt, sandboxId, requestKey });
    return new Leased(this, offer, answer);
  }

  /** Polls until there is an offer, and leases it. */
  async take(): Promise<Leased> {
    const [offer] = await this.poll(1, 10_000);
    if (offer === undefined) throw new Error('no offer came');
    return await this.lease(offer);
  }

  /** Leases and adopts the next job. */
  async start(): Promise<Leased> {
    const leased = await this.take();
    await leased.adopt();
    return leased;
  }
}

export class Leased {
  readonly agent: TestAgent;
  readonly jobId: string;
  readonly answer: LeaseResponse;
  readonly lease: HeldLease;
  task: JobTask | undefined;

  constructor(agent: TestAgent, offer: Offer, answer: LeaseResponse) {
    this.agent = agent;
    this.jobId = offer.jobId;
    this.answer = answer;
    this.lease = {
      jobId: offer.jobId,
      attempt: offer.attempt,
      epoch: answer.epoch,
      sessionCredential: answer.sessionCredential,
    };
  }

  async adopt(requestKey: string = randomUUID()): Promise<AdoptResponse> {
    const { jobId, attempt, epoch } = this.lease;
    const { adoptionCredential } = this.answer;
    const answer = await this.agent.client.adopt({
      jobId,
      attempt,
      epoch,
      adoptionCredential,
      requestKey,
    });
    this.task = JSON.parse(new TextDecoder().decode(answer.task)) as JobTask;
    return answer;
  }

  async log(offset: number, texts: string[]): Promise<number> {
    const rows = texts.map((text) => ({ step: 0, atMs: 1n, text }));
    const answer = await this.agent.client.appendLog({
      lease: this.lease,
      offset: BigInt(offset),
      rows,
    });
    return Number(answer.ack);
  }

  async events(sequence: number, events: object[]): Promise<number> {
    const answer = await this.agent.client.reportEvents({
      lease: this.lease,
      sequence: BigInt(sequence),
      eventsJson: events.map((event) => JSON.stringify(event)),
    });
    return Number(answer.ack);
  }

  async finish(
    reason = 'steps_completed',
    more: {
      outputs?: Record<string, string>;
      logRows?: number;
      message?: string;
      egress?: SaidEgress[];
    } = {},
  ): Promise<{ conclusion: string; reason: string }> {
    return await this.agent.client.finish({
      lease: this.lease,
      reason,
      message: more.message ?? '',
      outputs: more.outputs ?? {},
      logRows: BigInt(more.logRows ?? 0),
      notes: [],
      egress: more.egress ?? [],
    });
  }

  async heartbeat(waitMs = 0) {
    return await this.agent.client.heartbeat({ leases: [this.lease], waitMs, freeSlots: 1 });
  }
}
