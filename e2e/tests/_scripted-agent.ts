/**
 * An agent that does only what a test tells it: the agent protocol as JSON over HTTP/2, from the
 * protocol's definition and none of our client's code, as a broken or malicious agent could speak.
 */
import { randomUUID } from 'node:crypto';
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2';
import { connect } from 'node:net';
import { text } from 'node:stream/consumers';
import { newSandboxId } from '@onejob/protocol';
import { AGENT_CREDENTIAL_HEADER } from '@onejob/protocol/agent-service';
import { eventually } from '@onejob/testing';

type Fields = Record<string, unknown>;

export type ScriptedLease = {
  jobId: string;
  attempt: number;
  epoch: string;
  adoptionCredential: string;
  sessionCredential: string;
};

export class RefusedCall extends Error {
  override readonly name = 'RefusedCall';
  readonly code: string;

  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

export class ScriptedAgent implements AsyncDisposable {
  readonly #session: ClientHttp2Session;
  #credential = '';

  private constructor(socketPath: string) {
    const createConnection = () => connect(socketPath);
    this.#session = connectHttp2('http://control-plane.onejob', { createConnection });
    this.#session.on('error', () => {});
  }

  static async announce(socketPath: string, hostName: string): Promise<ScriptedAgent> {
    const agent = new ScriptedAgent(socketPath);
    const answer = await agent.call('Announce', {
      hostName,
      labels: ['ubuntu-latest'],
      drivers: [{ name: 'process', works: true, ownKernel: false, note: '' }],
      slots: 1,
      cpus: 1,
      memoryBytes: String(1024 ** 3),
      agentVersion: 'scripted',
    });
    agent.#credential = String(answer['agentCredential']);
    return agent;
  }

  /** Takes the next job there is. */
  async lease(): Promise<ScriptedLease> {
    const offer = await eventually('a job was offered', async () => {
      const { offers } = await this.call('PollOffers', { freeSlots: 1, waitMs: 1_000 });
      return (offers as Fields[] | undefined)?.[0];
    });
    const job = { jobId: String(offer['jobId']), attempt: Number(offer['attempt']) };
    const sandboxId = newSandboxId();
    const answer = await this.call('Lease', { ...job, sandboxId, requestKey: randomUUID() });
    return {
      ...job,
      epoch: String(answer['epoch']),
      adoptionCredential: String(answer['adoptionCredential']),
      sessionCredential: String(answer['sessionCredential']),
    };
  }

  async adopt(lease: ScriptedLease, requestKey: string): Promise<Fields> {
    const { sessionCredential: _, ...request } = lease;
    return await this.call('Adopt', { ...request, requestKey });
  }

  async appendLog(lease: ScriptedLease, offset: number, row: string): Promise<Fields> {
    const rows = [{ step: 0, atMs: '1', text: row }];
    return await this.call('AppendLog', { lease: refOf(lease), offset: String(offset), rows });
  }

  async finish(lease: ScriptedLease, reason: string): Promise<Fields> {
    const end = { reason, message: 'scripted', outputs: {}, logRows: '0', notes: [] };
    return await this.call('Finish', { lease: refOf(lease), ...end });
  }

  /** @throws RefusedCall with Connect's code. */
  async call(method: string, request: Fields): Promise<Fields> {
    const stream = this.#session.request({
      ':method': 'POST',
      ':path': `/onejob.agent.v1.AgentService/${method}`,
      'content-type': 'application/json',
      'connect-protocol-version': '1',
      ...(this.#credential === '' ? {} : { [AGENT_CREDENTIAL_HEADER]: this.#credential }),
    });
    let status = 0;
    stream.once('response', (headers) => (status = headers[':status'] ?? 0));
    stream.end(JSON.stringify(request));
    const answer = JSON.parse(await text(stream)) as Fields;
    if (status === 200) return answer;
    throw new RefusedCall(String(answer['code']), String(answer['message']));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#session.once('close', () => resolve());
    });
    this.#session.destroy();
    await closed;
  }
}

const refOf = ({ jobId, attempt, epoch, sessionCredential }: ScriptedLease): Fields => ({
  jobId,
  attempt,
  epoch,
  sessionCredential,
});
