/**
 * The agent's side of `onejob.guest.v1` for tests: real HTTP/2 servers on Unix sockets, a real
 * runner process, and every message of the guest checked against the protocol's schemas.
 */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:http2';
import type { Http2Server, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { GuestHello, GuestMessage, LogMessage } from '@onejob/protocol/schemas';
import type {
  FinishedMessage,
  HostHello,
  HostMessage,
  JobEvent,
  JobTask,
  LogRow,
} from '@onejob/protocol';
import { Value } from 'typebox/value';

const MAIN = new URL('../src/main.ts', import.meta.url).pathname;

export type HostOptions = {
  task: JobTask;
  /** Answers CONNECT and /source/ streams of the bulk carrier. */
  bulk?: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void;
  /** What the guest is told of actions; default: there are no mirrors. */
  actions?: HostHello['actions'];
  /** Whether rows are acknowledged as they come; false: by `acknowledge`. */
  acknowledges?: boolean;
  /** What it says to the guest's hello; default: the machine's identity. */
  hello?: 'nothing';
  environment?: Record<string, string>;
  /** Where repositories are that are not the run's; default: nowhere. */
  serverUrl?: string;
  main?: string;
};

export class TestHost {
  readonly directory = mkdtempSync(join(tmpdir(), 'onejob-guest-'));
  readonly work = join(this.directory, 'work');
  readonly marker = `test-${process.pid}-${this.directory.slice(-6)}`;
  readonly messages: GuestMessage[] = [];
  readonly rows: LogRow[] = [];
  readonly violations: string[] = [];
  total: number | undefined;
  hello: GuestHello | undefined;
  stderr = '';
  /** Called for each message of the guest and each row. */
  onMessage: (message: GuestMessage) => void = () => {};
  onRow: (row: LogRow) => void = () => {};
  private readonly options: HostOptions;
  private readonly servers: Http2Server[] = [];
  private readonly sockets = new Set<Socket>();
  private control: ServerHttp2Stream | undefined;
  private logs: ServerHttp2Stream | undefined;
  private child: ChildProcess | undefined;
  private exited: Promise<number | null> = Promise.resolve(null);

  constructor(options: HostOptions) {
    this.options = options;
  }

  async start(): Promise<this> {
    await this.listen('control', (stream, headers) => this.onControlCarrier(stream, headers));
    await this.listen('bulk', (stream, headers) => {
      if (this.options.bulk) return this.options.bulk(stream, headers);
      stream.respond({ ':status': 404 });
      stream.end();
    });
    this.child = spawn(process.execPath, [this.options.main ?? MAIN], {
      env: {
        PATH: process.env['PATH'] ?? '',
        HOME: this.directory,
        ONEJOB_CARRIER: 'unix',
        ONEJOB_CONTROL_SOCKET: join(this.directory, 'control'),
        ONEJOB_BULK_SOCKET: join(this.directory, 'bulk'),
        ONEJOB_WORK: this.work,
        ONEJOB_SANDBOX: this.marker,
        ...this.options.environment,
      },
      stdio: ['ignore', 'inherit', 'pipe'],
    });
    this.child.stderr!.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    const { promise, resolve } = Promise.withResolvers<number | null>();
    this.child.once('exit', (code) => resolve(code));
    this.exited = promise;
    return this;
  }

  /** Waits for the runner's end and gives its exit code. */
  exit(): Promise<number | null> {
    return this.exited;
  }

  get pid(): number {
    return this.child!.pid!;
  }

  send(message: HostMessage): void {
    this.control!.write(`${JSON.stringify(message)}\n`);
  }

  acknowledge(ack: number): void {
    this.logs!.write(`${JSON.stringify({ ack })}\n`);
  }

  /** Cuts the control carrier, as a dying agent does. */
  cut(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  get finished(): FinishedMessage {
    const found = this.messages.find((message) => message.type === 'finished');
    if (!found) throw new Error(`the guest did not finish: ${this.stderr}\n${this.text()}`);
    return found;
  }

  steps(status: 'running' | 'completed' = 'completed'): (JobEvent & { type: 'step' })[] {
    return this.messages.filter(
      (message) => message.type === 'step' && message.status === status,
    ) as (JobEvent & { type: 'step' })[];
  }

  lines(step?: number): string[] {
    return this.rows
      .filter((row) => step === undefined || row.step === step)
      .map((row) => row.text);
  }

  text(step?: number): string {
    return this.lines(step).join('\n');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.child?.exitCode === null) this.child.kill('SIGKILL');
    await this.exited;
    this.cut();
    for (const server of this.servers) {
      const { promise, resolve } = Promise.withResolvers<void>();
      server.close(() => resolve());
      await promise;
    }
    rmSync(this.directory, { recursive: true, force: true });
  }

  private async listen(
    name: string,
    take: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => void,
  ): Promise<void> {
    const server = createServer({ settings: { enableConnectProtocol: false } });
    server.on('connection', (socket: Socket) => {
      this.sockets.add(socket);
      socket.once('close', () => this.sockets.delete(socket));
    });
    server.on('session', (session) => session.on('error', () => {}));
    server.on('stream', (stream, headers) => {
      stream.on('error', () => {});
      take(stream, headers);
    });
    const { promise, resolve } = Promise.withResolvers<void>();
    server.listen(join(this.directory, name), resolve);
    await promise;
    this.servers.push(server);
  }

  private onControlCarrier(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const path = headers[':path'] ?? '';
    stream.respond({ ':status': 200 });
    const each = (take: (message: unknown) => void): void => {
      createInterface({ input: stream }).on('line', (line) => take(JSON.parse(line)));
    };
    if (path.endsWith('/hello')) {
      each((message) => this.onHello(stream, message));
    } else if (path.endsWith('/control')) {
      this.control = stream;
      each((message) => this.onGuestMessage(message));
    } else if (path.endsWith('/logs')) {
      this.logs = stream;
      each((message) => this.onLogMessage(message));
    } else {
      this.violations.push(`unknown path ${path}`);
    }
  }

  private onHello(stream: ServerHttp2Stream, message: unknown): void {
    if (!Value.Check(GuestHello, message)) this.violations.push(JSON.stringify(message));
    this.hello = message as GuestHello;
    if (this.options.hello === 'nothing') return void stream.end();
    const answer = {
      sandboxId: 'sb0123456789abcdef',
      hostname: 'test-machine',
      machineId: '0'.repeat(32),
      entropy: '00'.repeat(64),
      clockUnixMs: Date.now(),
      network: 'link',
      steered: false,
      actions: {
        ...{ builtin: 'fallback', mirrored: false, serverUrl: this.options.serverUrl ?? '' },
        ...this.options.actions,
      },
    };
    stream.end(`${JSON.stringify(answer)}\n`);
  }

  private onGuestMessage(message: unknown): void {
    if (!Value.Check(GuestMessage, message)) {
      this.violations.push(JSON.stringify(message).slice(0, 2000));
      return;
    }
    this.messages.push(message);
    if (message.type === 'ready') this.send({ type: 'job', task: this.options.task });
    if (message.type === 'finished') this.control!.end();
    this.onMessage(message);
  }

  private onLogMessage(message: unknown): void {
    if (!Value.Check(LogMessage, message)) {
      this.violations.push(JSON.stringify(message).slice(0, 2000));
      return;
    }
    if ('total' in message) {
      this.total = message.total;
      return;
    }
    if (message.offset !== this.rows.length) this.violations.push(`offset ${message.offset}`);
    for (const row of message.rows) {
      this.rows.push(row);
      this.onRow(row);
    }
    if (this.options.acknowledges !== false) this.acknowledge(this.rows.length);
  }
}

/** Runs a whole job and gives what the host saw; dispose it. */
export async function runToEnd(options: HostOptions): Promise<TestHost> {
  const host = await new TestHost(options).start();
  await host.exit();
  return host;
}
