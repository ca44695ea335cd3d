/**
 * The agent as the guest sees it on the control carrier: hello, the control stream, the log stream.
 *
 * Promises: `ended` resolves once when the control stream or its session is over, whoever ended it;
 * nothing is sent afterwards.
 */
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import type { GuestHello, GuestMessage, HostHello, HostMessage } from '@onejob/protocol';
import { LINK_MESSAGE_BYTES } from '@onejob/protocol/limits';
import { GuestError } from '../errors.ts';
import { CONTROL_BUFFER_BYTES } from '../limits.ts';
import { jsonLine, readJsonLines } from './json-lines.ts';
import { GUEST_PATHS } from './names.ts';

const HEADERS = { 'content-type': 'application/json' };

/** Resolves with the stream when the host answered 200. */
function post(session: ClientHttp2Session, path: string): ClientHttp2Stream {
  const stream = session.request(
    { ':method': 'POST', ':path': path, ...HEADERS },
    { endStream: false },
  );
  stream.on('error', () => {});
  return stream;
}

/** Says hello and gives the host's answer: identity, entropy and clock. */
export async function sayHello(session: ClientHttp2Session, hello: GuestHello): Promise<HostHello> {
  const stream = post(session, GUEST_PATHS.hello);
  stream.end(jsonLine(hello));
  const { promise, resolve, reject } = Promise.withResolvers<HostHello>();
  readJsonLines(stream, LINK_MESSAGE_BYTES, (message) => resolve(message as HostHello), reject);
  stream.once('response', (headers) => {
    const status = headers[':status'];
    if (status !== 200) reject(new GuestError('protocol', `hello was answered with ${status}`));
  });
  stream.once('close', () => reject(new GuestError('link_failed', 'hello was not answered')));
  return promise;
}

export const openLogStream = (session: ClientHttp2Session): ClientHttp2Stream =>
  post(session, GUEST_PATHS.logs);

export class HostControl {
  readonly ended: Promise<void>;
  private readonly stream: ClientHttp2Stream;
  private over = false;

  constructor(session: ClientHttp2Session, take: (message: HostMessage) => void) {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.ended = promise;
    this.stream = post(session, GUEST_PATHS.control);
    const end = (): void => {
      this.over = true;
      resolve();
    };
    this.stream.once('close', end).once('end', end);
    session.once('close', end);
    readJsonLines(
      this.stream,
      LINK_MESSAGE_BYTES,
      (message) => take(message as HostMessage),
      () => this.stream.destroy(),
    );
  }

  send(message: GuestMessage): void {
    if (!this.over) this.stream.write(jsonLine(message));
  }

  /** Whether so much waits to be sent that no more should be made. */
  get isFull(): boolean {
    return !this.over && this.stream.writableLength > CONTROL_BUFFER_BYTES;
  }

  /** Resolves when `isFull` has become false. */
  async room(): Promise<void> {
    while (this.isFull) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.stream.once('drain', resolve).once('close', resolve);
      await promise;
      this.stream.off('drain', resolve).off('close', resolve);
    }
  }

  /** Ends our half after everything was written. */
  async finish(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.stream.end(() => resolve());
    await Promise.race([promise, this.ended]);
  }
}
