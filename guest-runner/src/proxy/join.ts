/** A program's connection and a stream of the link become one. */
import type { ClientHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';

/** Both ways, with half-closes kept; an error of one ends both. */
export function join(client: Socket, stream: ClientHttp2Stream): void {
  const end = (): void => {
    client.destroy();
    stream.destroy();
  };
  client.on('error', end).on('close', () => stream.destroy());
  stream.on('error', end).on('close', () => client.destroySoon());
  client.pipe(stream);
  stream.pipe(client);
}
