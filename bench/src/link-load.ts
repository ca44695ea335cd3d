/**
 * What is measured of a stream between a guest and its host, by the guest's clock: bytes a second either
 * way, and the time for one byte to come back. The host serves it the same on a bare carrier and on a
 * stream of the link. A request is a letter and a length, big-endian:
 *
 *     e <length>      everything is sent back, so many bytes      d <length>   so many bytes are sent
 *     u <length>      so many are taken, and one is sent then     r <length>   the result, as JSON
 */
import type { Duplex } from 'node:stream';

/**
 * Milliseconds of each round; of an echo, the mean of all in the round, since the clock of an emulated
 * guest may have ticks of 4 ms.
 */
export type LinkTimes = { echo: number[]; toGuest: number[]; toHost: number[] };
export type LinkLoad = { echoes: number; rounds: number; bytes: number };

export const LOAD: LinkLoad = { echoes: 200, rounds: 5, bytes: 64 * 1024 * 1024 };
const CHUNK = Buffer.alloc(64 * 1024, 'onejob');
const HEADER_BYTES = 5;

function header(letter: string, length: number): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES, letter, 'latin1');
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

async function send(stream: Duplex, bytes: number): Promise<void> {
  for (let sent = 0; sent < bytes; sent += CHUNK.length) {
    if (stream.write(CHUNK)) continue;
    await new Promise<void>((resolve) => stream.once('drain', resolve));
  }
}

/** The guest's side; resolves when the host has the result. */
export async function drive(stream: Duplex): Promise<void> {
  let received = 0;
  let wanted = 0;
  let wake = (): void => {};
  stream.on('data', (chunk: Buffer) => {
    received += chunk.length;
    if (received >= wanted) wake();
  });
  stream.resume(); // a carrier is handed over paused
  const take = async (bytes: number): Promise<void> => {
    wanted += bytes;
    if (received < wanted) await new Promise<void>((resolve) => (wake = resolve));
  };
  const times: LinkTimes = { echo: [], toGuest: [], toHost: [] };
  const { echoes, rounds, bytes } = LOAD;
  for (let round = -1; round < rounds; round += 1) {
    let startMs = performance.now();
    stream.write(header('e', echoes));
    for (let count = 0; count < echoes; count += 1) {
      stream.write('1');
      await take(1);
    }
    if (round >= 0) times.echo.push((performance.now() - startMs) / echoes);
    startMs = performance.now();
    stream.write(header('d', bytes));
    await take(bytes);
    if (round >= 0) times.toGuest.push(performance.now() - startMs);
    startMs = performance.now();
    stream.write(header('u', bytes));
    await send(stream, bytes);
    await take(1);
    if (round >= 0) times.toHost.push(performance.now() - startMs);
  }
  const result = Buffer.from(JSON.stringify(times));
  stream.write(Buffer.concat([header('r', result.length), result]));
  await take(1);
}

/** The host's side: resolves with the guest's result. */
export async function serve(stream: Duplex): Promise<LinkTimes> {
  const { promise, resolve, reject } = Promise.withResolvers<LinkTimes>();
  let head = Buffer.alloc(0);
  let result = Buffer.alloc(0);
  let letter = '';
  let left = 0;
  const body = (part: Buffer): void => {
    left -= part.length;
    if (letter === 'e') stream.write(part);
    if (letter === 'r') result = Buffer.concat([result, part]);
    if (left > 0 || letter === 'e') return;
    stream.write('k');
    if (letter === 'r') resolve(JSON.parse(result.toString()) as LinkTimes);
  };
  const onData = (chunk: Buffer): void => {
    for (let rest = chunk; rest.length > 0;) {
      if (left > 0) {
        const part = rest.subarray(0, left);
        rest = rest.subarray(part.length);
        body(part);
        continue;
      }
      const missing = HEADER_BYTES - head.length;
      head = Buffer.concat([head, rest.subarray(0, missing)]);
      rest = rest.subarray(missing);
      if (head.length < HEADER_BYTES) return;
      letter = head.toString('latin1', 0, 1);
      left = head.readUInt32BE(1);
      head = Buffer.alloc(0);
      if (letter !== 'd') continue;
      const bytes = left;
      left = 0;
      void send(stream, bytes);
    }
  };
  stream.on('data', onData).resume();
  stream.once('close', () => reject(new Error('the guest closed its stream')));
  return await promise;
}
