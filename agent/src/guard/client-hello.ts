/**
 * Reads the server name out of the first bytes of a TLS connection (RFC 8446, 4.1.2 and 5.1; RFC
 * 6066, 3). Pure, strict and bounded: what is not exactly a ClientHello, in at most
 * CLIENT_HELLO_RECORDS records and CLIENT_HELLO_BYTES, is malformed. Our own, because
 * strictness decides here: about names given twice, bytes left over, hidden names.
 */
import { CLIENT_HELLO_BYTES, CLIENT_HELLO_RECORDS } from './limits.ts';

export type ClientHello =
  /** At least so many bytes are needed before there is more to say. */
  | { kind: 'incomplete'; neededBytes: number }
  | { kind: 'malformed'; problem: string }
  /** `serverName` in lower case. */
  | { kind: 'hello'; serverName: string | undefined; isNameHidden: boolean };

const HANDSHAKE_RECORD = 22;
const RECORD_HEADER = 5;
const RECORD_BYTES = 16_384;
const CLIENT_HELLO = 1;
const MESSAGE_HEADER = 4;
const SERVER_NAME = 0;
const HOST_NAME = 0;
/** Extensions that carry another name, encrypted: of RFC 9849 and of its drafts. */
const HIDDEN_NAME: ReadonlySet<number> = new Set([
  ...[0xfe0d, 0xfe0c, 0xfe0b, 0xfe0a, 0xfe09, 0xfe08],
  ...[0xff02, 0xff03, 0xffce],
]);
const PRINTABLE = /^[\x21-\x7e]+$/;

class Malformed extends Error {}

/** A part of a message; reading beyond its end is malformed. */
class Reader {
  readonly #bytes: Buffer;
  #at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length;
  }

  take(count: number): Buffer {
    const end = this.#at + count;
    if (end > this.#bytes.length) throw new Malformed('it ends too early');
    const taken = this.#bytes.subarray(this.#at, end);
    this.#at = end;
    return taken;
  }

  number(bytes: number): number {
    return this.take(bytes).readUIntBE(0, bytes);
  }

  /** A vector: its length in so many bytes, then its content. */
  vector(lengthBytes: number, { min = 0 } = {}): Reader {
    const length = this.number(lengthBytes);
    if (length < min) throw new Malformed('a part of it is too short');
    return new Reader(this.take(length));
  }

  end(): void {
    if (!this.isAtEnd) throw new Malformed('there are bytes left over');
  }

  rest(): Buffer {
    return this.take(this.#bytes.length - this.#at);
  }
}

/** @param bytes all that has come so far */
export function readClientHello(bytes: Buffer): ClientHello {
  try {
    const message = messageOf(bytes);
    return Buffer.isBuffer(message) ? readMessage(message) : message;
  } catch (error) {
    if (error instanceof Malformed) return { kind: 'malformed', problem: error.message };
    throw error;
  }
}

/** The handshake message out of its records, with its header; or what is needed to have it whole. */
function messageOf(bytes: Buffer): Buffer | ClientHello {
  const parts: Buffer[] = [];
  let have = 0;
  let at = 0;
  for (let record = 0; record < CLIENT_HELLO_RECORDS; record += 1) {
    // As early as it can be seen: a client that speaks something else may wait for an answer.
    const isTls =
      (bytes[at] ?? HANDSHAKE_RECORD) === HANDSHAKE_RECORD && (bytes[at + 1] ?? 3) === 3;
    if (!isTls) throw new Malformed('it is no TLS');
    const start = at + RECORD_HEADER;
    if (bytes.length < start) return { kind: 'incomplete', neededBytes: start };
    const length = bytes.readUInt16BE(at + 3);
    if (length === 0 || length > RECORD_BYTES) throw new Malformed('a record has a wrong length');
    at = start + length;
    parts.push(bytes.subarray(start, at));
    const message = Buffer.concat(parts);
    have += length;
    const total = message.length < MESSAGE_HEADER ? undefined : totalOf(message);
    if (total !== undefined && have > total) throw new Malformed('there are bytes left over');
    if (bytes.length < at) return { kind: 'incomplete', neededBytes: at };
    if (have === total) return message;
  }
  throw new Malformed('it is in too many records');
}

function totalOf(message: Buffer): number {
  if (message[0] !== CLIENT_HELLO) throw new Malformed('it does not begin with a ClientHello');
  const total = MESSAGE_HEADER + message.readUIntBE(1, 3);
  if (total > CLIENT_HELLO_BYTES) throw new Malformed('it is too long');
  return total;
}

function readMessage(message: Buffer): ClientHello {
  const hello = new Reader(message.subarray(MESSAGE_HEADER));
  hello.take(2 + 32); // legacy_version, random
  hello.vector(1); // legacy_session_id
  hello.vector(2, { min: 2 }); // cipher_suites
  hello.vector(1, { min: 1 }); // legacy_compression_methods
  const seen = new Set<number>();
  let serverName: string | undefined;
  if (!hello.isAtEnd) {
    const extensions = hello.vector(2);
    while (!extensions.isAtEnd) {
      const type = extensions.number(2);
      const content = extensions.vector(2);
      if (seen.has(type)) throw new Malformed('it says something twice');
      seen.add(type);
      if (type === SERVER_NAME) serverName = readServerName(content);
    }
  }
  hello.end();
  const isNameHidden = [...seen].some((type) => HIDDEN_NAME.has(type));
  return { kind: 'hello', serverName, isNameHidden };
}

/** One name: of each type there may be one, and there is one type. */
function readServerName(content: Reader): string {
  const list = content.vector(2, { min: 1 });
  content.end();
  if (list.number(1) !== HOST_NAME) throw new Malformed('its server name is of no known type');
  const name = list.vector(2, { min: 1 }).rest().toString('latin1');
  list.end();
  if (!PRINTABLE.test(name)) throw new Malformed('its server name is no name');
  return name.toLowerCase();
}
