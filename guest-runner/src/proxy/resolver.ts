/**
 * The resolver of a machine without a network interface (RFC 1035, over UDP and TCP): answers the
 * question for an address with a made-up one, once the agent has said that the name exists. What else
 * DNS knows (mail servers, texts, services) cannot be had here, and the answer says so at once:
 *
 *     A of a name that exists       a made-up address         the agent knows none  NXDOMAIN
 *     AAAA, HTTPS, ... of it        no record                 the guard refuses it  REFUSED
 *     PTR of a made-up address      the name                  it cannot be asked    SERVFAIL
 *     any other question            NOTIMP, and nobody is asked
 */
import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type ListenOptions, type Server, type Socket } from 'node:net';
import * as dns from 'dns-packet';
import {
  RESOLVER_CONNECTIONS,
  RESOLVER_IDLE_MS,
  RESOLVER_MESSAGE_BYTES,
  RESOLVER_QUESTIONS,
} from '../limits.ts';
import { isMadeUp, type MadeUpAddresses } from './made-up-addresses.ts';

/** What the agent says of a name. */
export type NameVerdict = 'exists' | 'unknown' | 'refused' | 'failed';
export type AskForName = (name: string) => Promise<NameVerdict>;

type Parts = { addresses: MadeUpAddresses; ask: AskForName };
/** Answers of a question: records, or a code of RFC 1035, section 4.1.1. */
type Answer = { records: dns.Answer[] } | { code: number };

const CODES = { formatError: 1, serverFailure: 2, noSuchName: 3, notImplemented: 4, refused: 5 };
const CODE_OF: Record<Exclude<NameVerdict, 'exists'>, number> = {
  unknown: CODES.noSuchName,
  refused: CODES.refused,
  failed: CODES.serverFailure,
};
/** The made-up addresses stay what they are. */
const TTL_SECONDS = 300;
/** Asked for together with an address, by programs that go on without an answer. */
const BESIDE_ADDRESSES: ReadonlySet<string> = new Set(['AAAA', 'HTTPS', 'SVCB', 'UNKNOWN_65']);
const HOST_NAME =
  /^(?!.{254})(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?$/;
const REVERSE_NAME = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa$/;

async function answerTo(question: dns.Question, { addresses, ask }: Parts): Promise<Answer> {
  const name = question.name.toLowerCase().replace(/\.$/, '');
  const { type } = question;
  const record = (data: string): Answer => ({
    records: [{ name: question.name, type, class: 'IN', ttl: TTL_SECONDS, data } as dns.Answer],
  });
  if (type === 'PTR') {
    const address = REVERSE_NAME.exec(name)?.slice(1).toReversed().join('.') ?? '';
    const found = isMadeUp(address) ? addresses.nameOf(address) : undefined;
    return found === undefined ? { code: CODES.noSuchName } : record(found);
  }
  if (type !== 'A' && !BESIDE_ADDRESSES.has(type)) return { code: CODES.notImplemented };
  if (!HOST_NAME.test(name)) return { code: CODES.noSuchName };
  if (name === 'localhost' || name.endsWith('.localhost')) {
    return type === 'A' ? record('127.0.0.1') : { records: [] };
  }
  const verdict = addresses.has(name) ? 'exists' : await ask(name);
  if (verdict !== 'exists') return { code: CODE_OF[verdict] };
  if (type !== 'A') return { records: [] };
  const address = addresses.addressOf(name);
  return address === undefined ? { code: CODES.serverFailure } : record(address);
}

/** @returns undefined: nothing that could be answered */
export async function answerMessage(message: Buffer, parts: Parts): Promise<Buffer | undefined> {
  let asked: dns.DecodedPacket;
  try {
    asked = dns.decode(message);
  } catch {
    if (message.length < 2) return undefined;
    return reply({ id: message.readUInt16BE(0), questions: [] }, { code: CODES.formatError });
  }
  if (asked.type !== 'query') return undefined;
  const [question] = asked.questions ?? [];
  const isOne = question !== undefined && asked.questions?.length === 1;
  const isPlain = (asked as { opcode?: string }).opcode === 'QUERY' && question?.class === 'IN';
  if (!isOne) return reply(asked, { code: CODES.formatError });
  if (!isPlain) return reply(asked, { code: CODES.notImplemented });
  return reply(asked, await answerTo(question, parts));
}

function reply({ id, questions = [] }: dns.Packet, answer: Answer): Buffer {
  return dns.encode({
    ...{ id: id ?? 0, type: 'response', questions },
    flags: dns.RECURSION_DESIRED | dns.RECURSION_AVAILABLE | ('code' in answer ? answer.code : 0),
    answers: 'code' in answer ? [] : answer.records,
  });
}

/** Programs ask for both kinds of addresses at once: the agent is asked for the name alone, and once. */
function oncePerName(ask: AskForName): AskForName {
  const asking = new Map<string, Promise<NameVerdict>>();
  return async (name) => {
    const known = asking.get(name);
    if (known !== undefined) return await known;
    const asked = ask(name).finally(() => asking.delete(name));
    asking.set(name, asked);
    return await asked;
  };
}

/** So many questions at once; more are not answered, and asked again by whoever asks. */
class Turns {
  #taken = 0;

  async take(work: () => Promise<void>): Promise<void> {
    if (this.#taken >= RESOLVER_QUESTIONS) return;
    this.#taken += 1;
    try {
      await work();
    } finally {
      this.#taken -= 1;
    }
  }
}

/** Where it listens: descriptors that init has opened; tests give addresses. */
export type ResolverPlaces = {
  udp: { fd: number } | { port: number; address: string };
  tcp: ListenOptions | { fd: number };
};

export class Resolver {
  readonly udp: UdpSocket;
  readonly tcp: Server;

  private constructor(udp: UdpSocket, tcp: Server) {
    this.udp = udp;
    this.tcp = tcp;
  }

  static async listen(places: ResolverPlaces, { addresses, ask }: Parts): Promise<Resolver> {
    const parts = { addresses, ask: oncePerName(ask) };
    const turns = new Turns();
    const udp = createSocket('udp4');
    udp.on('message', (message: Buffer, from: RemoteInfo) => {
      if (from.port === 0) return; // a raw socket can send so; send() throws
      void turns.take(async () => {
        const answer = await answerMessage(message, parts);
        if (answer !== undefined) udp.send(answer, from.port, from.address, () => {});
      });
    });
    const tcp = createServer((client) => serveStream(client, turns, parts));
    tcp.maxConnections = RESOLVER_CONNECTIONS;
    // A descriptor is listened on at once.
    const listening = Promise.all([once(udp, 'listening'), once(tcp, 'listening')]);
    udp.bind(places.udp);
    tcp.listen(places.tcp);
    await listening;
    // Later errors are of single answers.
    udp.on('error', () => {});
    return new Resolver(udp, tcp);
  }

  close(): void {
    this.udp.close();
    this.tcp.close();
  }
}

/** Messages with their length before them (RFC 1035, section 4.2.2). */
function serveStream(client: Socket, turns: Turns, parts: Parts): void {
  let read = Buffer.alloc(0);
  client.on('error', () => {}).setTimeout(RESOLVER_IDLE_MS, () => client.destroy());
  client.on('data', (chunk: Buffer) => {
    read = Buffer.concat([read, chunk]);
    while (read.length >= 2 && read.length >= 2 + read.readUInt16BE(0)) {
      const end = 2 + read.readUInt16BE(0);
      const message = read.subarray(2, end);
      read = read.subarray(end);
      void turns.take(async () => {
        const answer = await answerMessage(message, parts);
        if (answer === undefined || client.destroyed) return;
        const length = Buffer.alloc(2);
        length.writeUInt16BE(answer.length);
        client.write(Buffer.concat([length, answer]));
      });
    }
    // A question is some hundred bytes.
    if (read.length > RESOLVER_MESSAGE_BYTES) client.destroy();
  });
}
