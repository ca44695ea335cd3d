/** ClientHellos for tests: what a real TLS client says first, and parts to make others from. */
import { once } from 'node:events';
import { connect as connectTls } from 'node:tls';
import { Duplex } from 'node:stream';

/** All that node's TLS client says before it is answered. */
export async function realClientHello(servername: string | undefined): Promise<Buffer> {
  const said: Buffer[] = [];
  const wire = new Duplex({
    read() {},
    write(chunk: Buffer, _encoding, done) {
      said.push(chunk);
      done();
      this.emit('said');
    },
  });
  const heard = once(wire, 'said');
  const client = connectTls({ socket: wire, ...(servername === undefined ? {} : { servername }) });
  client.on('error', () => {});
  await heard;
  client.destroy();
  return Buffer.concat(said);
}

/** A vector: its length in so many bytes, then its content. */
const vector = (lengthBytes: number, ...parts: Buffer[]): Buffer => {
  const content = Buffer.concat(parts);
  const length = Buffer.alloc(lengthBytes);
  length.writeUIntBE(content.length, 0, lengthBytes);
  return Buffer.concat([length, content]);
};
const uint16 = (value: number): Buffer => Buffer.from([value >> 8, value & 0xff]);

export const extension = (type: number, content: Buffer): Buffer =>
  Buffer.concat([uint16(type), vector(2, content)]);

export const serverNames = (...names: string[]): Buffer =>
  extension(
    0,
    vector(
      2,
      ...names.map((name) => Buffer.concat([Buffer.from([0]), vector(2, Buffer.from(name))])),
    ),
  );

/** The handshake message. */
export function helloMessage(...extensions: Buffer[]): Buffer {
  const fixed = Buffer.concat([uint16(0x0303), Buffer.alloc(32, 7)]);
  const vectors = [
    vector(1, Buffer.alloc(32)),
    vector(2, uint16(0x1301)),
    vector(1, Buffer.alloc(1)),
  ];
  return Buffer.concat([Buffer.from([1]), vector(3, fixed, ...vectors, vector(2, ...extensions))]);
}

/** The message in records of so many bytes. */
export function inRecords(message: Buffer, bytes: number = message.length): Buffer {
  const records: Buffer[] = [];
  for (let at = 0; at < message.length; at += bytes) {
    const header = Buffer.from([22, 3, 1]);
    records.push(header, vector(2, message.subarray(at, at + bytes)));
  }
  return Buffer.concat(records);
}
