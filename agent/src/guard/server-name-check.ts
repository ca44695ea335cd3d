/**
 * Holds the first bytes of a tunnel back until they have said which server they are for.
 *
 * Promise: nothing reaches the target before its ClientHello was read whole and named exactly the
 * allowed name; what was read is put back, so that a tunnel joined afterwards carries it; never more
 * than CLIENT_HELLO_BYTES and one chunk are held. The second ClientHello that a server may ask for,
 * and all that is encrypted, is not looked at.
 */
import type { ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { printable } from './authority.ts';
import { readClientHello, type ClientHello } from './client-hello.ts';
import { NAME_CHARACTERS } from './limits.ts';

export type ServerNameRule =
  | 'tls-not-spoken'
  | 'tls-without-server-name'
  | 'tls-other-server-name'
  | 'tls-hidden-server-name';

type ServerNameVerdict =
  | { kind: 'passed' }
  /** `what` is a clause that follows a colon. */
  | { kind: 'refused'; rule: ServerNameRule; what: string }
  /** The guest ended its side without a word. */
  | { kind: 'unused' }
  /** One side is closed. */
  | { kind: 'gone' };

/**
 * @param stream of the guest, which nobody has read from
 * @param socket connected, and not read from
 * @param name the allowed one, in lower case
 */
export function checkServerName(
  stream: ServerHttp2Stream,
  socket: Socket,
  name: string,
  timeoutMs: number,
): Promise<ServerNameVerdict> {
  const { promise, resolve } = Promise.withResolvers<ServerNameVerdict>();
  const chunks: Buffer[] = [];
  let bytes = 0;
  let neededBytes = 1;

  const settle = (verdict: ServerNameVerdict): void => {
    clearTimeout(timer);
    stream.off('readable', onReadable).off('end', onEnd).off('close', onGone);
    socket.off('close', onGone);
    if (verdict.kind === 'passed') stream.unshift(Buffer.concat(chunks));
    resolve(verdict);
  };
  const onReadable = (): void => {
    for (let chunk = read(stream); chunk !== null; chunk = read(stream)) {
      chunks.push(chunk);
      bytes += chunk.length;
      if (bytes < neededBytes) continue;
      const hello = readClientHello(Buffer.concat(chunks));
      if (hello.kind !== 'incomplete') return settle(judgeHello(hello, name));
      ({ neededBytes } = hello);
    }
  };
  const onGone = (): void => settle({ kind: 'gone' });
  const onEnd = (): void => {
    // A stream that was reset ends as well.
    if (stream.closed) onGone();
    else if (bytes === 0) settle({ kind: 'unused' });
    else settle(refused('it ended before its ClientHello was whole'));
  };
  const timer = setTimeout(() => settle(refused('no ClientHello came in time')), timeoutMs);

  stream.on('readable', onReadable).once('end', onEnd).once('close', onGone);
  socket.once('close', onGone);
  if (stream.destroyed || socket.destroyed) onGone();
  return promise;
}

const read = (stream: ServerHttp2Stream): Buffer | null => stream.read() as Buffer | null;

const refused = (what: string): ServerNameVerdict => {
  return { kind: 'refused', rule: 'tls-not-spoken', what };
};

function judgeHello(
  hello: Exclude<ClientHello, { kind: 'incomplete' }>,
  name: string,
): ServerNameVerdict {
  if (hello.kind === 'malformed') return refused(`it does not begin as TLS (${hello.problem})`);
  const { isNameHidden, serverName } = hello;
  if (isNameHidden) {
    const what = 'its TLS hides a server name (ECH); turn that off in the client';
    return { kind: 'refused', rule: 'tls-hidden-server-name', what };
  }
  if (serverName === undefined) {
    const what = 'its TLS names no server (SNI)';
    return { kind: 'refused', rule: 'tls-without-server-name', what };
  }
  if (serverName !== name) {
    const what = `its TLS is for another server, ${printable(serverName, NAME_CHARACTERS)}`;
    return { kind: 'refused', rule: 'tls-other-server-name', what };
  }
  return { kind: 'passed' };
}
