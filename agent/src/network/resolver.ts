/**
 * The resolver of one sandbox: the one service of the host that a sandbox with an interface reaches.
 *
 *     guest -> GATEWAY:53 -> (its namespace) -> outside address of its veth, a port of ours
 *
 *     A, AAAA of a name    its addresses    the guard refuses it   REFUSED    no such name   NXDOMAIN
 *     HTTPS, SVCB of it    no record        it cannot be asked     SERVFAIL   other types    NOTIMP
 *
 * Promise: a name is judged by the guard before anybody is asked and its addresses after, within the
 * sandbox's limits; refused names are recorded and answered at once; only the sandbox that the port
 * belongs to is heard. Which name led to which address is remembered, for the records of what it then
 * connects to.
 */
import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import * as dns from 'dns-packet';
import type { LookedUp } from '../guard/guard.ts';
import { ANSWER_TTL_SECONDS, MESSAGE_BYTES, REMEMBERED_ADDRESSES } from './limits.ts';

export type SandboxResolver = AsyncDisposable & {
  readonly port: number;
  /** The name that last led the sandbox to this address (canonical text). */
  nameOf(address: string): string | undefined;
};

type ResolverOptions = {
  /** Ours, to listen at, and the sandbox's, the only one that is heard. */
  outside: string;
  inside: string;
  hasIpv6: boolean;
  lookUp: (name: string) => Promise<LookedUp>;
};

/** Response codes of RFC 1035, section 4.1.1. */
const CODES = { done: 0, notImplemented: 4 } as const;
const CODE_OF: Readonly<Record<LookedUp['kind'], number>> = {
  addresses: CODES.done,
  failed: 2,
  nothing: 3,
  refused: 5,
};
/** Asked for together with addresses, by programs that go on without an answer. */
const BESIDE_ADDRESSES: ReadonlySet<string> = new Set([
  ...['HTTPS', 'SVCB'],
  ...['UNKNOWN_65', 'UNKNOWN_64'], // the same, of a library that does not know them
]);
const HOST_NAME = /^(?!.{254})(?:[a-z0-9_-]{1,63}\.)*[a-z0-9_-]{1,63}$/;

export async function startResolver(options: ResolverOptions): Promise<SandboxResolver> {
  const socket = createSocket('udp4');
  const service = new ResolverService(options, socket);
  socket.on('message', (message, peer) => {
    // Whatever a job sends must not be the end of the agent: no answer, as for a lost datagram.
    service.serve(message, peer).catch(() => {});
  });
  socket.bind(0, options.outside);
  await once(socket, 'listening');
  // What cannot be sent or received any more is lost, as on any network.
  socket.on('error', () => {});
  const { port } = socket.address();
  return {
    port,
    nameOf: (address) => service.nameOf(address),
    async [Symbol.asyncDispose]() {
      if (service.isClosed) return;
      service.isClosed = true;
      socket.close();
      await once(socket, 'close');
    },
  };
}

class ResolverService {
  isClosed = false;
  readonly #options: ResolverOptions;
  readonly #socket: Socket;
  /** The latest last. */
  readonly #names = new Map<string, string>();
  /** Both types of a name are asked for at once, and looked up once. */
  readonly #underWay = new Map<string, Promise<LookedUp>>();

  constructor(options: ResolverOptions, socket: Socket) {
    this.#options = options;
    this.#socket = socket;
  }

  nameOf(address: string): string | undefined {
    return this.#names.get(address);
  }

  async serve(message: Buffer, { address, port }: RemoteInfo): Promise<void> {
    if (address !== this.#options.inside || message.length > MESSAGE_BYTES) return;
    if (port === 0) return; // a raw socket can send so; nobody could hear an answer
    const query = readQuery(message);
    if (query === undefined) return;
    const answer = await this.#answer(query);
    if (!this.isClosed) this.#socket.send(answer, port, address, () => {});
  }

  async #answer({ id = 0, question }: Query): Promise<Buffer> {
    const { name, type } = question;
    const isOfAddresses = type === 'A' || type === 'AAAA';
    if (!isOfAddresses && !BESIDE_ADDRESSES.has(type)) {
      return reply(id, question, CODES.notImplemented);
    }
    const asked = name.toLowerCase();
    const found = HOST_NAME.test(asked) ? await this.#lookUp(asked) : { kind: 'nothing' as const };
    if (found.kind !== 'addresses') return reply(id, question, CODE_OF[found.kind]);
    const usable = found.addresses.filter((one) => this.#options.hasIpv6 || !one.includes(':'));
    for (const one of usable) this.#remember(one, asked);
    const told = usable.filter((one) => isOfAddresses && one.includes(':') === (type === 'AAAA'));
    return reply(id, question, CODES.done, told);
  }

  async #lookUp(name: string): Promise<LookedUp> {
    const same = this.#underWay.get(name);
    if (same !== undefined) return await same;
    const lookUp = this.#options.lookUp(name).catch((): LookedUp => ({ kind: 'failed' }));
    this.#underWay.set(name, lookUp);
    return await lookUp.finally(() => this.#underWay.delete(name));
  }

  #remember(address: string, name: string): void {
    this.#names.delete(address);
    this.#names.set(address, name);
    const [oldest] = this.#names.keys();
    if (this.#names.size > REMEMBERED_ADDRESSES && oldest !== undefined) this.#names.delete(oldest);
  }
}

type Query = { id: number | undefined; question: dns.Question };

/** Undefined: no query with one question in the internet class; it gets no answer. */
function readQuery(message: Buffer): Query | undefined {
  try {
    const { id, type, questions = [], ...rest } = dns.decode(message);
    const [question] = questions;
    const isStandard = type === 'query' && (rest as { opcode?: string }).opcode === 'QUERY';
    const isOne = isStandard && questions.length === 1 && question?.class === 'IN';
    return isOne ? { id, question } : undefined;
  } catch {
    return undefined; // no message of DNS
  }
}

/** As many of the addresses as a message holds, and one in any case. */
function reply(
  id: number,
  question: dns.Question,
  code: number,
  told: readonly string[] = [],
): Buffer {
  const { name, type } = question;
  const answers = told.map(
    (data) => ({ name, type, class: 'IN', ttl: ANSWER_TTL_SECONDS, data }) as dns.Answer,
  );
  const flags = dns.RECURSION_DESIRED | dns.RECURSION_AVAILABLE | code;
  const packet = { id, type: 'response' as const, flags, questions: [question], answers };
  while (answers.length > 1 && dns.encodingLength(packet) > MESSAGE_BYTES) answers.pop();
  return dns.encode(packet);
}
