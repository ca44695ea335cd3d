/**
 * The resolver of the proof (RFC 1035, over UDP): it answers A and AAAA questions from a table, with
 * aliases, mixed answers, and answers that change after the first look. A question for another kind of
 * record in the attacker's zone has carried something out: it is an arrival.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { DATA_ZONE, RESOLVER_ADDRESS, type NameAnswer } from '../attacks/network.ts';
import type { Arrival } from './listeners.ts';

const A = 1;
const CNAME = 5;
const AAAA = 28;
const HEADER_BYTES = 12;
const NO_SUCH_NAME = 3;

/**
 * Keeps no process alive. Names are in lower case without the last dot. `take`: what came since it was
 * last asked; from then on names are answered as at first.
 */
export async function startResolver(
  names: Readonly<Record<string, NameAnswer>>,
): Promise<{ take(): Arrival[] }> {
  const arrivals: Arrival[] = [];
  const looks = new Map<string, number>();
  const socket = createSocket('udp4');
  socket.on('message', (query, peer) => {
    const question = readQuestion(query);
    if (question === undefined) return;
    const { name, type, end } = question;
    const isAddress = type === A || type === AAAA;
    if (!isAddress && name.endsWith(`.${DATA_ZONE}`)) {
      const id = name.slice(0, -DATA_ZONE.length - 1);
      arrivals.push({ id, address: RESOLVER_ADDRESS, from: peer.address });
    }
    const answer = names[name];
    if (type === A) looks.set(name, (looks.get(name) ?? 0) + 1);
    const hasTurned = (looks.get(name) ?? 0) > 1;
    const addresses = (hasTurned ? answer?.later : undefined) ?? answer?.addresses ?? [];
    const records = answer === undefined ? [] : recordsFor(name, type, answer.via ?? [], addresses);
    const header = Buffer.from(query.subarray(0, end));
    header.writeUInt16BE(0x8180 | (answer === undefined ? NO_SUCH_NAME : 0), 2);
    header.writeUInt16BE(1, 4);
    header.writeUInt16BE(records.length, 6);
    header.writeUInt32BE(0, 8);
    socket.send(Buffer.concat([header, ...records]), peer.port, peer.address);
  });
  socket.on('error', () => {});
  socket.bind(53, RESOLVER_ADDRESS);
  await once(socket, 'listening');
  socket.unref();
  return {
    take: () => {
      looks.clear();
      return arrivals.splice(0);
    },
  };
}

/** Undefined: not a question that this server understands. */
function readQuestion(query: Buffer): { name: string; type: number; end: number } | undefined {
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (let length = query[at] ?? 0; length > 0; length = query[at] ?? 0) {
    labels.push(query.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  const end = at + 5;
  if (query.length < end) return undefined;
  return { name: labels.join('.').toLowerCase(), type: query.readUInt16BE(at + 1), end };
}

function recordsFor(
  name: string,
  type: number,
  via: readonly string[],
  addresses: readonly string[],
): Buffer[] {
  const records: Buffer[] = [];
  let owner = name;
  for (const next of via) {
    records.push(record(owner, CNAME, encodeName(next)));
    owner = next;
  }
  for (const address of addresses) {
    const bytes = encodeAddress(address);
    if ((bytes.length === 4 && type === A) || (bytes.length === 16 && type === AAAA)) {
      records.push(record(owner, type, bytes));
    }
  }
  return records;
}

function record(owner: string, type: number, data: Buffer): Buffer {
  const fixed = Buffer.alloc(10);
  fixed.writeUInt16BE(type, 0);
  fixed.writeUInt16BE(1, 2);
  fixed.writeUInt16BE(data.length, 8);
  return Buffer.concat([encodeName(owner), fixed, data]);
}

function encodeName(name: string): Buffer {
  const labels = name.split('.').flatMap((label) => {
    const bytes = Buffer.from(label, 'latin1');
    return [Buffer.from([bytes.length]), bytes];
  });
  return Buffer.concat([...labels, Buffer.from([0])]);
}

/** 4 or 16 bytes. IPv6 as the URL standard writes it: hexadecimal groups, at most one `::`. */
export function encodeAddress(text: string): Buffer {
  if (!text.includes(':')) return Buffer.from(text.split('.').map(Number));
  const canonical = new URL(`http://[${text}]/`).hostname.slice(1, -1);
  const [head = '', tail] = canonical.split('::');
  const groups = (part: string | undefined): string[] => (part ?? '').split(':').filter(Boolean);
  const left = groups(head);
  const right = groups(tail);
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => '0');
  const bytes = Buffer.alloc(16);
  [...left, ...zeros, ...right].forEach((group, index) =>
    bytes.writeUInt16BE(Number.parseInt(group, 16), 2 * index),
  );
  return bytes;
}
