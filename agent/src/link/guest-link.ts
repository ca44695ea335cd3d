/**
 * The agent's side of the link: an HTTP/2 server on each carrier of one sandbox, so that every
 * request is attributed to its sandbox before anything in it is read. Serves `onejob.guest.v1`
 * (protocol/src/guest.ts) and trusts nothing that comes: a message that does not fit its schema,
 * a second hello, a stream out of turn is a `violation`, and the job ends for it.
 *
 *     connected -> hello -> control open -> ready -> job sent -> ... -> over
 *
 * Promise: `violation` or `closed` is called once, and not both; after a violation both carriers
 * are gone. Nothing a guest sends throws out of here.
 */
import {
  createServer,
  type Http2Server,
  type IncomingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Socket } from 'node:net';
import {
  GUEST_MESSAGE_BYTES,
  GUEST_PATHS,
  type HostHello,
  type HostMessage,
  type LogAck,
} from '@onejob/protocol';
import { GuestHello, GuestMessage, LogMessage } from '@onejob/protocol/schemas';
import { Compile } from 'typebox/compile';
import { AgentError } from '../errors.ts';
import {
  HELLO_BYTES,
  LINK_BULK_STREAMS,
  LINK_CONTROL_STREAMS,
  LINK_HEADER_BYTES,
  LINK_SESSION_MB,
  LINK_STREAM_WINDOW_BYTES,
  LINK_WINDOW_BYTES,
} from '../limits.ts';
import { readJsonLines, writeJsonLine } from './json-lines.ts';

const helloSchema = Compile(GuestHello);
const messageSchema = Compile(GuestMessage);
const logSchema = Compile(LogMessage);

/** What the link asks of the job it carries. None is called after `close`. */
export interface LinkHandlers {
  hello(hello: GuestHello): HostHello;
  /** The next message is read when the promise resolves. */
  message(message: GuestMessage): void | Promise<void>;
  /** `acknowledge` is called whenever more rows have become durable. */
  log(message: LogMessage, acknowledge: (ack: LogAck) => void): void;
  connect(stream: ServerHttp2Stream, authority: string): void;
  source(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void;
  /** Asks for the files of an action; the path says which. */
  action(stream: ServerHttp2Stream, path: string): void;
  results(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void;
  /** Asks whether a name exists. */
  name(stream: ServerHttp2Stream, name: string): void;
  violation(error: AgentError): void;
  /** The guest's control stream or one of its carriers is gone. Rows of its log may still come. */
  closed(why: string): void;
}

type OnStream = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;

export class GuestLink {
  /** Resolves when the guest has opened its control stream: a job may be sent. */
  readonly ready: Promise<void>;
  /** Resolves when no more rows of the log can come. */
  readonly logEnded: Promise<void>;
  readonly #handlers: LinkHandlers;
  readonly #servers: Http2Server[] = [];
  readonly #sockets: Socket[];
  readonly #becomeReady: () => void;
  readonly #endLog: () => void;
  #greeting = false;
  #greeted = false;
  #control: ServerHttp2Stream | undefined;
  #isTaskSent = false;
  #logs: ServerHttp2Stream | undefined;
  /** `violation` or `closed` was called. */
  #told = false;
  #shut = false;

  constructor(carriers: { control: Socket; bulk: Socket }, handlers: LinkHandlers) {
    this.#handlers = handlers;
    const ready = Promise.withResolvers<void>();
    this.ready = ready.promise;
    this.#becomeReady = ready.resolve;
    const logs = Promise.withResolvers<void>();
    this.logEnded = logs.promise;
    this.#endLog = logs.resolve;
    this.#sockets = [carriers.control, carriers.bulk];
    this.#serve(carriers.control, LINK_CONTROL_STREAMS, (stream, headers) =>
      this.#onControl(stream, headers),
    );
    this.#serve(carriers.bulk, LINK_BULK_STREAMS, (stream, headers) =>
      this.#onBulk(stream, headers),
    );
  }

  /** The compiled job, as the control plane made it: passed on unread. */
  sendTask(task: Uint8Array): void {
    if (this.#control === undefined) return;
    this.#isTaskSent = true;
    const message = Buffer.concat([Buffer.from('{"type":"job","task":'), task, Buffer.from('}')]);
    writeJsonLine(this.#control, message);
  }

  send(message: Exclude<HostMessage, { type: 'job' }>): void {
    if (this.#control !== undefined) writeJsonLine(this.#control, JSON.stringify(message));
  }

  /** Ends both carriers. No handler is called after this. */
  close(): void {
    this.#shut = true;
    this.#told = true;
    this.#endLog();
    for (const server of this.#servers) server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #serve(socket: Socket, mostStreams: number, onStream: OnStream): void {
    const server = createServer({
      maxSessionMemory: LINK_SESSION_MB,
      maxHeaderListPairs: 128,
      settings: {
        maxConcurrentStreams: mostStreams,
        maxHeaderListSize: LINK_HEADER_BYTES,
        initialWindowSize: LINK_STREAM_WINDOW_BYTES,
        maxFrameSize: 1024 * 1024,
        enableConnectProtocol: false,
      },
    });
    server.on('stream', (stream, headers) => {
      stream.on('error', () => {}); // a reset stream; what it means is decided where it is read
      if (this.#shut) return stream.close();
      try {
        onStream(stream, headers);
      } catch {
        stream.close(); // it went while it was answered
      }
    });
    server.on('session', (session) => {
      session.on('error', (error) => this.#broken(error));
      session.on('close', () => this.#carrierClosed());
      if (!session.destroyed) session.setLocalWindowSize(LINK_WINDOW_BYTES);
    });
    server.on('sessionError', () => {});
    socket.on('error', () => {}); // its session says it
    socket.read(0); // a socket that was paused does not begin to read by itself
    this.#servers.push(server);
    server.emit('connection', socket);
  }

  #onControl(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const path = headers[':path'];
    if (headers[':method'] !== 'POST') return this.#violation(`${headers[':method']} on control`);
    if (path === GUEST_PATHS.hello) return this.#run(this.#hello(stream));
    if (!this.#greeted) return this.#violation(`${String(path).slice(0, 100)} before hello`);
    if (path === GUEST_PATHS.control) return this.#run(this.#controlStream(stream));
    if (path === GUEST_PATHS.logs) return this.#run(this.#logStream(stream));
    this.#violation(`unknown path ${String(path).slice(0, 100)} on control`);
  }

  #onBulk(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    if (!this.#greeted) return this.#violation('a request before hello');
    const path = headers[':path'] ?? '';
    if (headers[':method'] === 'CONNECT') {
      return this.#handlers.connect(stream, headers[':authority'] ?? '');
    }
    if (path.startsWith(GUEST_PATHS.source)) return this.#handlers.source(stream, headers);
    if (path.startsWith(GUEST_PATHS.actions) && headers[':method'] === 'GET') {
      return this.#handlers.action(stream, path);
    }
    if (path.startsWith(GUEST_PATHS.results)) return this.#handlers.results(stream, headers);
    if (path.startsWith(GUEST_PATHS.names) && headers[':method'] === 'GET') {
      return this.#handlers.name(stream, path.slice(GUEST_PATHS.names.length));
    }
    stream.respond({ ':status': 404 }, { endStream: true });
    stream.close(); // its body is not wanted
  }

  async #hello(stream: ServerHttp2Stream): Promise<void> {
    if (this.#greeting) return this.#violation('a second hello');
    this.#greeting = true;
    for await (const hello of readJsonLines(stream, HELLO_BYTES)) {
      if (this.#shut) return;
      if (!helloSchema.Check(hello)) return this.#violation('a hello that does not fit its schema');
      this.#greeted = true;
      const answer = this.#handlers.hello(hello);
      stream.respond({ ':status': 200, 'content-type': 'application/jsonl' });
      stream.end(`${JSON.stringify(answer)}\n`);
      return;
    }
    this.#violation('an empty hello');
  }

  async #controlStream(stream: ServerHttp2Stream): Promise<void> {
    if (this.#control !== undefined) return this.#violation('a second control stream');
    this.#control = stream;
    stream.respond({ ':status': 200, 'content-type': 'application/jsonl' });
    for await (const message of readJsonLines(stream, GUEST_MESSAGE_BYTES)) {
      if (this.#shut) return;
      if (!messageSchema.Check(message)) {
        const [error] = messageSchema.Errors(message);
        return this.#violation(
          `a control message that does not fit its schema (${error?.instancePath ?? ''} ${error?.message ?? ''})`,
        );
      }
      if (message.type === 'ready') this.#becomeReady();
      else if (!this.#isTaskSent) return this.#violation(`"${message.type}" before it has a job`);
      await this.#handlers.message(message);
    }
    this.#closed('the guest ended its control stream');
  }

  /** Goes on reading after the end of the log: what then comes is out of turn. */
  async #logStream(stream: ServerHttp2Stream): Promise<void> {
    if (this.#logs !== undefined) return this.#violation('a second log stream');
    this.#logs = stream;
    stream.once('close', () => this.#endLog());
    stream.respond({ ':status': 200, 'content-type': 'application/jsonl' });
    const acknowledge = (ack: LogAck): void => writeJsonLine(stream, JSON.stringify(ack));
    for await (const message of readJsonLines(stream, GUEST_MESSAGE_BYTES)) {
      if (this.#shut) return;
      if (!logSchema.Check(message)) {
        return this.#violation('a log message that does not fit its schema');
      }
      if (!this.#isTaskSent) return this.#violation('log rows before it has a job');
      this.#handlers.log(message, acknowledge);
      if ('total' in message) this.#endLog();
    }
    this.#endLog();
  }

  #run(work: Promise<void>): void {
    work.catch((error: unknown) => {
      if (error instanceof AgentError && error.code === 'guest_protocol') {
        this.#violation(error.message);
      } else if ((error as NodeJS.ErrnoException).code === 'ERR_HTTP2_ERROR') {
        this.#broken(error as Error); // its session's frames: a stream hears of it first
      } else {
        this.#closed('the guest broke off a stream');
      }
    });
  }

  /** A carrier that breaks (its machine died) is no violation; frames that make no sense are. */
  #broken(error: Error): void {
    const { code } = error as NodeJS.ErrnoException;
    const isGoodbye = code === 'ERR_HTTP2_SESSION_ERROR' || code === 'ERR_HTTP2_STREAM_CANCEL';
    if (code?.startsWith('ERR_HTTP2') === true && !isGoodbye) {
      this.#violation(`broken HTTP/2 frames (${error.message})`);
    } else {
      this.#closed(`a carrier broke (${code ?? error.message})`);
    }
  }

  #carrierClosed(): void {
    this.#endLog();
    this.#closed('the guest closed a carrier');
  }

  #violation(what: string): void {
    if (this.#shut) return;
    const first = !this.#told;
    this.close();
    if (!first) return;
    this.#handlers.violation(
      new AgentError('guest_protocol', `The guest broke the link's protocol: ${what}.`),
    );
  }

  #closed(why: string): void {
    if (this.#told) return;
    this.#told = true;
    this.#handlers.closed(why);
  }
}
