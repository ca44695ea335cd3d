/**
 * The stand-in for Firecracker itself: its API, checked request by request against the document and the
 * state of the machine; the vsock device, byte by byte; and in place of a guest the real guest runner, as a
 * process. A runner that has connected to its two sockets is a guest that listens on its two ports.
 */
import { spawn, type ChildProcess } from 'node:child_process';
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { createServer as createHttpServer, type IncomingMessage } from 'node:http';
import { createServer, type Socket } from 'node:net';
import { resolve } from 'node:path';
import { GUEST_PORTS } from '../src/drivers/firecracker/config.ts';
import { TINY_GUEST_SAYS } from '../src/drivers/firecracker/tiny-guest.ts';
import { OPERATIONS, type Operation } from './_firecracker-document.ts';
import { end, type StandInOptions } from './_firecracker-options.ts';

type Body = Record<string, unknown>;
type Place = {
  id: string;
  apiSocket: string | undefined;
  configFile: string | undefined;
  isJailed: boolean;
  /** Descriptor of a file that it writes down what it was asked to. */
  record: number | undefined;
};

const ELF = Buffer.from('\x7fELF', 'latin1');
/** firecracker: `--http-api-max-payload-size`, by default. */
const BODY_BYTES = 51_200;
const CONNECT_LINE_BYTES = 32;

/** What is answered with 400 and its text as the fault message. */
class Fault extends Error {}

export async function runFirecracker(options: StandInOptions, place: Place): Promise<void> {
  const machine = new StandIn(options, place);
  if (place.apiSocket === undefined) return machine.runTiny();
  await machine.serve(place.apiSocket);
}

class StandIn {
  readonly #options: StandInOptions;
  readonly #place: Place;
  #state: 'Not started' | 'Running' | 'Paused' = 'Not started';
  /** Bodies by path. */
  readonly #known = new Map<string, Body>();
  readonly #listeners = new Map<number, Socket>();
  #guest: ChildProcess | undefined;
  #hostPort = 1_073_741_824;

  constructor(options: StandInOptions, place: Place) {
    this.#options = options;
    this.#place = place;
  }

  /** `--no-api --config-file`: the tiny guest, whose program is looked at and not run. */
  runTiny(): void {
    const { fault } = this.#options;
    const text = readFileSync(this.#path(this.#place.configFile ?? ''), 'utf8');
    const config = JSON.parse(text) as Record<string, Body>;
    const problems = Object.entries(config).map(([name, body]) =>
      name === 'drives' ? undefined : OPERATIONS.get(`PUT /${name}`)?.problem(body),
    );
    if (!('boot-source' in config) || !('drives' in config) || problems.some(Boolean)) {
      this.#end(152, `Configuration for VMM from one single json failed: ${problems.join()}`);
    }
    this.#checkKernel(String(config['boot-source']?.['kernel_image_path']));
    if (fault?.kind === 'tiny_guest' && fault.how === 'hangs')
      return void setInterval(() => {}, 1e6);
    const isSilent = fault?.kind === 'tiny_guest';
    process.stdout.write(`Running Firecracker v${this.#options.version}\n`);
    if (!isSilent) process.stdout.write(TINY_GUEST_SAYS);
  }

  async serve(path: string): Promise<void> {
    if (this.#options.fault?.kind === 'no_api') return void setInterval(() => {}, 1e6);
    const server = createHttpServer((request, response) => {
      void this.#answer(request).then(({ status, text }) => {
        response.writeHead(status, {
          server: 'Firecracker API',
          'content-type': 'application/json',
        });
        response.end(text);
      });
    });
    await new Promise<void>((listening) => server.listen(this.#path(path), listening));
  }

  async #answer(request: IncomingMessage): Promise<{ status: number; text: string }> {
    const what = `${request.method} ${request.url}`;
    const parts: Buffer[] = [];
    for await (const part of request as AsyncIterable<Buffer>) parts.push(part);
    const text = Buffer.concat(parts).toString();
    const { fault } = this.#options;
    if (this.#place.record !== undefined) writeSync(this.#place.record, `${what} ${text}\n`);
    if (fault !== undefined && 'request' in fault && fault.request === what) {
      if (fault.kind === 'dies_at') this.#end(fault.status, `dies at ${what}`);
      if (fault.kind === 'hangs_at') return await new Promise(() => {});
      const { message } = fault as { message?: string };
      return { status: 400, text: message === undefined ? '<html>' : faultOf(message) };
    }
    try {
      if (request.method === 'GET') return { status: 200, text: JSON.stringify(this.#tell(what)) };
      if (text.length > BODY_BYTES) throw new Fault('HTTP payload too large');
      await this.#change(what, text);
      return { status: 204, text: '' };
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      return { status: 400, text: faultOf(error.message) };
    }
  }

  #tell(what: string): object {
    const { version } = this.#options;
    if (what === 'GET /version') return { firecracker_version: version };
    if (what === 'GET /') {
      const { id } = this.#place;
      return { app_name: 'Firecracker', id, state: this.#state, vmm_version: version };
    }
    throw new Fault(`Invalid request method and/or path: ${what}.`);
  }

  async #change(what: string, text: string): Promise<void> {
    const [, method = '', path = ''] = /^(\S+) (\S+)$/.exec(what) ?? [];
    const [, collection = '', id] = /^(\/[a-z-]+)\/([^/]+)$/.exec(path) ?? [];
    const own = OPERATIONS.get(what);
    const operation = own ?? OPERATIONS.get(`${method} ${collection}/*`);
    if (operation === undefined) throw new Fault(`Invalid request method and/or path: ${what}.`);
    if (text === '') throw new Fault(`Empty ${method} request.`);
    const body = readBody(text);
    const problem = operation.problem(body);
    if (problem !== undefined) {
      throw new Fault(
        `An error occurred when deserializing the json body of a request: ${problem}.`,
      );
    }
    if (operation.id !== undefined && body[operation.id] !== id) {
      throw new Fault(
        `The id from the path [${id}] does not match the id from the body [${String(body[operation.id])}]!`,
      );
    }
    this.#checkMoment(operation);
    await this.#apply(path, body);
  }

  #checkMoment({ when }: Operation): void {
    const isStarted = this.#state !== 'Not started';
    const isFresh = [...this.#known.keys()].every((path) => ['/logger', '/metrics'].includes(path));
    if ((when === 'pre-boot' || when === 'fresh') && isStarted) {
      throw new Fault('The requested operation is not supported after starting the microVM.');
    }
    if (when === 'post-boot' && !isStarted) {
      throw new Fault('The requested operation is not supported before starting the microVM.');
    }
    if (when === 'fresh' && !isFresh) {
      throw new Fault(
        'Load snapshot error: Loading a microVM snapshot is not allowed after configuring boot-specific resources.',
      );
    }
  }

  async #apply(path: string, body: Body): Promise<void> {
    if (path === '/actions') return await this.#act(String(body['action_type']));
    if (path === '/vm') return this.#setState(String(body['state']));
    if (path === '/snapshot/create') return this.#save(body);
    if (path === '/snapshot/load') return this.#load(body);
    if (path === '/boot-source') {
      this.#checkFile(body['kernel_image_path'], 'r');
      if ('initrd_path' in body) this.#checkFile(body['initrd_path'], 'r');
    }
    if (path.startsWith('/drives/')) {
      if (!('path_on_host' in body) || !('is_read_only' in body)) {
        throw new Fault('Unable to create the block device: is_read_only or path_on_host missing');
      }
      this.#checkFile(body['path_on_host'], body['is_read_only'] === true ? 'r' : 'r+');
    }
    if (path.startsWith('/network-interfaces/')) checkTap(String(body['host_dev_name']));
    if (path === '/logger' && this.#known.has(path))
      throw new Fault('Logger is initialized already');
    this.#known.set(path, body);
  }

  async #act(action: string): Promise<void> {
    if (action === 'FlushMetrics') return;
    if (action === 'SendCtrlAltDel') return void this.#guest?.kill();
    if (this.#state !== 'Not started') {
      throw new Fault('The requested operation is not supported after starting the microVM.');
    }
    const boot = this.#known.get('/boot-source');
    if (boot === undefined) throw new Fault('Cannot start microvm without kernel configuration.');
    this.#checkKernel(String(boot['kernel_image_path']));
    await this.#listenVsock();
    this.#guest = await this.#startGuest();
    this.#state = 'Running';
  }

  #setState(wanted: string): void {
    this.#state = wanted === 'Paused' ? 'Paused' : 'Running';
    this.#guest?.kill(wanted === 'Paused' ? 'SIGSTOP' : 'SIGCONT');
  }

  #save(body: Body): void {
    if (this.#state !== 'Paused') {
      throw new Fault('Create snapshot error: the microVM is not paused');
    }
    const state = JSON.stringify({ version: this.#options.version, known: [...this.#known] });
    writeFileSync(this.#path(String(body['snapshot_path'])), state);
    writeFileSync(this.#path(String(body['mem_file_path'])), 'memory');
  }

  #load(body: Body): void {
    if ('mem_file_path' in body === 'mem_backend' in body) {
      throw new Fault('too few or too many fields: either `mem_backend` or `mem_file_path`');
    }
    const memory = (body['mem_backend'] as Body | undefined)?.['backend_path'];
    this.#checkFile(memory ?? body['mem_file_path'], 'r');
    this.#checkFile(body['snapshot_path'], 'r');
    const saved = JSON.parse(readFileSync(this.#path(String(body['snapshot_path'])), 'utf8')) as {
      version: string;
      known: [string, Body][];
    };
    if (saved.version !== this.#options.version) throw new Fault('Load snapshot error: version');
    for (const [path, known] of saved.known) this.#known.set(path, known);
    this.#state = body['resume_vm'] === true ? 'Running' : 'Paused';
  }

  /** Paths are of the jail: relative ones, in the root that we stand in. */
  #path(path: string): string {
    return this.#place.isJailed ? `.${resolve('/', path)}` : path;
  }

  #checkFile(path: unknown, how: 'r' | 'r+'): void {
    try {
      closeSync(openSync(this.#path(String(path)), how));
    } catch (error) {
      throw new Fault(`${(error as Error).message} (path ${String(path)})`);
    }
  }

  #checkKernel(path: string): void {
    this.#checkFile(path, 'r');
    const file = openSync(this.#path(path), 'r');
    const magic = Buffer.alloc(ELF.length);
    readSync(file, magic, 0, magic.length, 0);
    closeSync(file);
    if (magic.equals(ELF)) return;
    throw new Fault(
      'Cannot load kernel due to invalid memory configuration or invalid kernel image: Kernel Loader: failed to load ELF kernel image',
    );
  }

  /** docs/vsock.md, "Host-Initiated Connections". */
  async #listenVsock(): Promise<void> {
    const device = this.#known.get('/vsock');
    if (device === undefined) return;
    const server = createServer({ pauseOnConnect: true }, (socket) => {
      socket.on('error', () => {});
      void this.#forward(socket);
    });
    const path = this.#path(String(device['uds_path']));
    await new Promise<void>((listening, failed) => {
      server.once('error', (error) => failed(new Fault(`Cannot create backend: ${error.message}`)));
      server.listen(path, listening);
    });
  }

  async #forward(socket: Socket): Promise<void> {
    const line = await readConnectLine(socket);
    const port = Number(/^connect (\d+)$/i.exec(line)?.[1] ?? -1);
    const { fault } = this.#options;
    const how = fault?.kind === 'vsock' ? fault.how : undefined;
    if (how === 'silent') return;
    if (how === 'wrong') return void socket.write('HTTP/1.1 400 Bad Request\n');
    if (how === 'endless') return void socket.write('OK 10737418240');
    if (how === 'dies') this.#end(150, 'a thread panicked');
    const guest = this.#listeners.get(port);
    if (guest === undefined || how === 'nobody') return void socket.destroy();
    this.#listeners.delete(port);
    // In two pieces, as a stream may have it.
    const answer = `OK ${this.#hostPort++}\n`;
    socket.write(answer.slice(0, 4), () =>
      setTimeout(() => {
        socket.write(answer.slice(4));
        socket.pipe(guest).pipe(socket);
      }, 5),
    );
    for (const [one, other] of [
      [socket, guest],
      [guest, socket],
    ] as const) {
      one.once('close', () => other.destroy());
    }
  }

  /** Its machine's processes are root's on this host: who the guest's root is, is not to be seen here. */
  async #startGuest(): Promise<ChildProcess> {
    const [uid, gid] = [process.geteuid?.() ?? 0, process.getegid?.() ?? 0];
    if (this.#place.isJailed) {
      process.seteuid?.(0);
      process.setegid?.(0);
    }
    try {
      const { guestRunnerPath, hostMarker } = this.#options;
      for (const name of ['guest', 'guest/work', 'guest/home'])
        mkdirSync(name, { recursive: true });
      for (const [name, port] of Object.entries(GUEST_PORTS)) await this.#listenInGuest(name, port);
      const marks =
        hostMarker === undefined ? {} : { ONEJOB_SANDBOX: this.#place.id, ONEJOB_HOST: hostMarker };
      const guest = spawn(process.execPath, [guestRunnerPath], {
        cwd: resolve('guest'),
        stdio: ['ignore', 'ignore', 'inherit'],
        env: {
          ...marks,
          PATH: '/usr/local/bin:/usr/bin:/bin',
          HOME: resolve('guest/home'),
          ONEJOB_CARRIER: 'unix',
          ONEJOB_CONTROL_SOCKET: 'control.sock',
          ONEJOB_BULK_SOCKET: 'bulk.sock',
          ONEJOB_WORK: resolve('guest/work'),
        },
      });
      // Its init then resets the processor, however the runner ended.
      guest.once('exit', () => this.#end(0, ''));
      return guest;
    } finally {
      process.setegid?.(gid);
      process.seteuid?.(uid);
    }
  }

  /** What an AF_VSOCK listener is in a guest: who connected to it before anybody dialled is there. */
  async #listenInGuest(name: string, port: number): Promise<void> {
    const server = createServer({ pauseOnConnect: true, allowHalfOpen: false }, (socket) => {
      socket.on('error', () => {});
      this.#listeners.set(port, socket);
      server.close();
    });
    await new Promise<void>((listening) => server.listen(`guest/${name}.sock`, listening));
  }

  #end(status: number, word: string): never {
    if (word !== '') process.stderr.write(`${word}\n`);
    end(status);
  }
}

const faultOf = (message: string): string => JSON.stringify({ fault_message: message });

function readBody(text: string): Body {
  try {
    return JSON.parse(text) as Body;
  } catch (error) {
    throw new Fault(
      `An error occurred when deserializing the json body of a request: ${(error as Error).message}.`,
    );
  }
}

/** The interfaces of the namespace that we are in. */
function checkTap(name: string): void {
  const names = readFileSync('/proc/self/net/dev', 'utf8').split('\n');
  if (names.some((line) => line.trim().startsWith(`${name}:`))) return;
  throw new Fault(`Could not create the network device: Open tap device failed: ${name}`);
}

/** Byte by byte, so that what follows the line is left to the guest. */
async function readConnectLine(socket: Socket): Promise<string> {
  let line = '';
  while (line.length < CONNECT_LINE_BYTES) {
    const byte = socket.read(1) as Buffer | null;
    if (byte === null) {
      const more = await new Promise<boolean>((done) => {
        socket.once('readable', () => done(true)).once('close', () => done(false));
      });
      if (!more) return line;
      continue;
    }
    if (byte[0] === 10) return line;
    line += byte.toString('latin1');
  }
  return line;
}
