/**
 * Stolen credentials of leases: an agent of the proof's own takes two jobs that no other agent has labels
 * for, over the platform's own socket, and shows each credential where it does not belong and where it
 * does. It speaks the agent protocol in its JSON form (Connect, "Unary-RPC") and needs no code of it.
 */
import { randomUUID } from 'node:crypto';
import { connect as connectHttp2, type ClientHttp2Session } from 'node:http2';
import { connect } from 'node:net';
import { join } from 'node:path';
import { newSandboxId } from '@onejob/protocol';
import type { Theft } from './attack.ts';
import type { Observation } from './judge.ts';
import { CALL_MS, OBSERVED_CHARACTERS, OFFER_WAIT_MS } from './limits.ts';

/** What the jobs of this agent run on: no host has it. */
export const LEASE_LABEL = 'onejob-prove-leases';

type Answer = { status: number; body: Record<string, unknown> };
type Call = (method: string, body: object, credential?: string) => Promise<Answer>;

export type LeaseResult = { attack: Observation; control: Observation };

/** @param start queues both jobs: there must be an agent for their label before */
export async function tryLeases(
  dataDirectory: string,
  start: () => void,
): Promise<Map<Theft, LeaseResult>> {
  const session = connectHttp2('http://control-plane', {
    createConnection: () => connect(join(dataDirectory, 'agent.sock')),
  });
  session.on('error', () => {});
  try {
    const call: Call = async (method, body, credential) =>
      asAnswer(await post(session, method, body, credential));
    return await withTwoLeases(call, start);
  } finally {
    session.destroy();
  }
}

async function withTwoLeases(call: Call, start: () => void): Promise<Map<Theft, LeaseResult>> {
  const announced = await call('Announce', {
    hostName: 'onejob-prove',
    labels: [LEASE_LABEL],
    drivers: [{ name: 'process', works: true, ownKernel: false, note: '' }],
    slots: 2,
    cpus: 1,
    memoryBytes: '1073741824',
    agentVersion: 'prove',
  });
  const agent = textOf(announced.body, 'agentCredential');
  start();
  const [one, other] = [await takeLease(call, agent), await takeLease(call, agent)];
  const results = new Map<Theft, LeaseResult>();
  const adopt = async (lease: Lease, credential: string): Promise<Answer> =>
    await call(
      'Adopt',
      { ...lease.ref, adoptionCredential: credential, requestKey: randomUUID() },
      agent,
    );
  const log = async (
    { ref, session }: Lease,
    changes: { sessionCredential?: string; epoch?: string; offset?: number },
    credential = agent,
  ): Promise<Answer> => {
    const { offset = 0, ...stolen } = changes;
    const rows = [{ step: 0, atMs: '1', text: 'a row of the proof' }];
    const lease = { ...ref, sessionCredential: session, ...stolen };
    return await call('AppendLog', { lease, offset: String(offset), rows }, credential);
  };
  const set = (theft: Theft, attack: Observation, control: Observation): void =>
    void results.set(theft, { attack, control });
  const first = await adopt(one, one.adoption);
  set('adoption', answered(await adopt(one, one.adoption)), answered(first));
  const stolen = await adopt(other, one.adoption);
  set('adoption-of-other', answered(stolen), answered(await adopt(other, other.adoption)));
  const own = answered(await log(other, {}));
  const foreign = await log(other, { sessionCredential: one.session });
  set('session-of-other', answered(foreign), own);
  const older = String(BigInt(other.ref.epoch) - 1n);
  set('old-epoch', answered(await log(other, { epoch: older })), own);
  set('no-agent', answered(await log(other, {}, '')), own);
  const before = said(await log(one, {}), 'ack', '1');
  const end = async (lease: Lease, reason: string): Promise<Answer> =>
    await finish(call, agent, lease, reason);
  const [ended] = [await end(one, 'steps_completed'), await end(other, 'steps_completed')];
  set('log-after-end', said(await log(one, { offset: 1 }), 'ack', '2'), before);
  const again = said(await end(one, 'step_failed'), 'conclusion', 'failure');
  set('end-after-end', again, said(ended, 'conclusion', 'success'));
  return results;
}

type Lease = {
  ref: { jobId: string; attempt: number; epoch: string };
  adoption: string;
  session: string;
};

async function takeLease(call: Call, agent: string): Promise<Lease> {
  const { body } = await call('PollOffers', { freeSlots: 1, waitMs: OFFER_WAIT_MS }, agent);
  const [offer] = (body['offers'] ?? []) as { jobId: string; attempt?: number }[];
  if (offer === undefined) throw new Error('no job of the proof was offered');
  const { jobId, attempt = 0 } = offer;
  const request = { jobId, attempt, sandboxId: newSandboxId(), requestKey: randomUUID() };
  const leased = await call('Lease', request, agent);
  return {
    ref: { jobId, attempt, epoch: textOf(leased.body, 'epoch') },
    adoption: textOf(leased.body, 'adoptionCredential'),
    session: textOf(leased.body, 'sessionCredential'),
  };
}

/** Both jobs say one row. */
const finish = async (call: Call, agent: string, lease: Lease, reason: string): Promise<Answer> =>
  await call(
    'Finish',
    {
      lease: { ...lease.ref, sessionCredential: lease.session },
      ...{ reason, message: '', outputs: {}, logRows: '1' },
    },
    agent,
  );

function textOf(body: Record<string, unknown>, name: string): string {
  const value = body[name];
  if (typeof value === 'string') return value;
  throw new Error(`the control plane said no ${name}: ${JSON.stringify(body)}`);
}

/** Answered: it got through. What an adoption answers is not shown: it holds a job's task. */
function answered({ status, body }: Answer): Observation {
  if (status !== 200) return refused(body);
  return { outcome: 'through', seen: `it was answered: ${Object.keys(body).join(', ')}` };
}

/** Answered with this value: it did what it wanted. */
function said({ status, body }: Answer, name: string, wanted: string): Observation {
  if (status !== 200) return refused(body);
  const seen = `the control plane says: ${name} ${String(body[name])}`;
  return { outcome: body[name] === wanted ? 'through' : 'stopped', seen };
}

function refused(body: Answer['body']): Observation {
  const seen = `${String(body['code'])}: ${String(body['message'])}`.slice(0, OBSERVED_CHARACTERS);
  return { outcome: 'stopped', seen };
}

type Raw = { status: number; text: string };

const asAnswer = ({ status, text }: Raw): Answer => ({
  status,
  body: (text === '' ? {} : JSON.parse(text)) as Record<string, unknown>,
});

async function post(
  session: ClientHttp2Session,
  method: string,
  body: object,
  credential = '',
): Promise<Raw> {
  const stream = session.request({
    ':method': 'POST',
    ':path': `/onejob.agent.v1.AgentService/${method}`,
    'content-type': 'application/json',
    'connect-protocol-version': '1',
    ...(credential === '' ? {} : { 'onejob-agent': credential }),
  });
  stream.setTimeout(CALL_MS, () => stream.destroy(new Error(`${method} was not answered`)));
  stream.end(JSON.stringify(body));
  let status = 0;
  stream.on('response', (headers) => (status = Number(headers[':status'])));
  let text = '';
  stream.setEncoding('utf8');
  for await (const chunk of stream) text += String(chunk);
  return { status, text };
}
