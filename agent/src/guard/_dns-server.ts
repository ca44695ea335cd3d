/**
 * A DNS server for tests: answers A and AAAA questions over UDP (RFC 1035) from a function, so that
 * a test can lie, mix, change its mind, chain names, fail or stay silent.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import ipaddr from 'ipaddr.js';

export type DnsAnswer =
  /** Addresses of the asked type are sent, the others left out; `via` are CNAMEs on the way. */
  | { addresses: readonly string[]; via?: readonly string[] }
  | 'no-such-name'
  | 'server-failure'
  | 'silence';

type DnsServer = AsyncDisposable & {
  /** `127.0.0.1:port`, as node:dns takes it. */
  readonly address: string;
  /** `A name` or `AAAA name`, in order. */
  readonly questions: string[];
};

const TYPES = new Map([
  [1, 'A'],
  [28, 'AAAA'],
]);
const CNAME = 5;
const RESPONSE_CODES = { 'server-failure': 2, 'no-such-name': 3 } as const;

/** @param answer is called for each question; names come in lower case without the last dot */
export async function startDnsServer(
  answer: (name: string) => DnsAnswer,
  { address = '127.0.0.1', port = 0 } = {},
): Promise<DnsServer> {
  const socket = createSocket('udp4');
  const questions: string[] = [];
  socket.on('message', (query, peer) => {
    const { name, end } = readName(query, 12);
    const type = query.readUInt16BE(end);
    questions.push(`${TYPES.get(type) ?? type} ${name}`);
    const says = answer(name);
    if (says === 'silence') return;
    socket.send(encode(query.subarray(0, end + 4), type, name, says), peer.port, peer.address);
  });
  socket.bind(port, address);
  await once(socket, 'listening');
  return {
    address: `${address}:${socket.address().port}`,
    questions,
    async [Symbol.asyncDispose]() {
      socket.close();
      await once(socket, 'close');
    },
  };
}

function readName(message: Buffer, start: number): { name: string; end: number } {
  const labels: string[] = [];
  let offset = start;
  for (let length = message[offset]!; length > 0; length = message[offset]!) {
    labels.push(message.toString('latin1', offset + 1, offset + 1 + length));
    offset += 1 + length;
  }
  return { name: labels.join('.').toLowerCase(), end: offset + 1 };
}

function writeName(name: string): Buffer {
  const labels = name.split('.').map((label) => {
    const bytes = Buffer.from(label, 'latin1');
    return Buffer.concat([Buffer.from([bytes.length]), bytes]);
  });
  return Buffer.concat([...labels, Buffer.from([0])]);
}

function record(owner: string, type: number, data: Buffer): Buffer {
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(type, 0);
  fixed.writeUInt16BE(1, 2);
  fixed.writeUInt16BE(data.length, 8);
  return Buffer.concat([writeName(owner), fixed, data]);
}

function encode(
  question: Buffer,
  type: number,
  name: string,
  says: Exclude<DnsAnswer, 'silence'>,
): Buffer {
  const header = Buffer.from(question);
  const code = typeof says === 'string' ? RESPONSE_CODES[says] : 0;
  header.writeUInt16BE(0x8180 | code, 2);
  const records: Buffer[] = [];
  if (typeof says !== 'string') {
    let owner = name;
    for (const next of says.via ?? []) {
      records.push(record(owner, CNAME, writeName(next)));
      owner = next;
    }
    const wanted = says.addresses
      .map((text) => ipaddr.parse(text))
      .filter((address) => address.kind() === (type === 1 ? 'ipv4' : 'ipv6'));
    for (const address of wanted) {
      records.push(record(owner, type, Buffer.from(address.toByteArray())));
    }
  }
  header.writeUInt16BE(records.length, 6);
  header.writeUInt16BE(0, 8);
  header.writeUInt16BE(0, 10);
  return Buffer.concat([header, ...records]);
}
