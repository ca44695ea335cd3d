/**
 * Firecracker's API: HTTP/1.1 with JSON on a Unix socket, as src/firecracker/swagger/firecracker.yaml of
 * Firecracker describes it (the version from 1.8 on). A client of our own, of one request at a time: the
 * few that npm has are forks of container clients, older than most of these fields, without types.
 *
 *     Not started -- InstanceStart --> Running <-- PATCH /vm --> Paused -- snapshot/create --> files
 *          '---------- snapshot/load, before anything else is configured ----------^
 *
 * Every refusal is a `boot_failed` that names the request and what Firecracker says of it. Firecracker may
 * be in the hands of its guest once that runs: its answers are bounded, and nothing is done by them.
 */
import { request } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { AgentError } from '../../errors.ts';
import {
  API_ANSWER_BYTES,
  API_LONG_TIMEOUT_MS,
  API_POLL_MS,
  API_TIMEOUT_MS,
  SHOWN_OUTPUT_CHARACTERS,
} from './config.ts';

/** definitions/Logger; without a path the log goes to standard output. */
export type Logger = { level: 'Error' | 'Warning' | 'Info'; show_level: boolean };
/** definitions/MachineConfiguration. */
export type MachineConfiguration = {
  vcpu_count: number;
  mem_size_mib: number;
  smt: boolean;
  track_dirty_pages: boolean;
};
/** definitions/BootSource. */
export type BootSource = { kernel_image_path: string; initrd_path: string; boot_args: string };
/** definitions/TokenBucket: `size` is refilled in `refill_time` milliseconds. */
type TokenBucket = { size: number; refill_time: number };
/** definitions/Drive, of the kind virtio-block, with definitions/RateLimiter. */
export type Drive = {
  drive_id: string;
  is_root_device: boolean;
  is_read_only: boolean;
  path_on_host: string;
  cache_type: 'Unsafe' | 'Writeback';
  io_engine: 'Sync' | 'Async';
  rate_limiter: { bandwidth: TokenBucket; ops: TokenBucket };
};
/** definitions/NetworkInterface. */
export type NetworkInterface = { iface_id: string; host_dev_name: string; guest_mac: string };
/** definitions/Vsock. */
export type Vsock = { guest_cid: number; uds_path: string };
/** definitions/SnapshotCreateParams. */
export type SnapshotCreate = {
  snapshot_type: 'Full' | 'Diff';
  snapshot_path: string;
  mem_file_path: string;
};
/** definitions/SnapshotLoadParams, with what version 1.13 and newer know. */
export type SnapshotLoad = {
  snapshot_path: string;
  mem_backend: { backend_type: 'File' | 'Uffd'; backend_path: string };
  resume_vm: boolean;
  network_overrides?: { iface_id: string; host_dev_name: string }[];
  vsock_override?: { uds_path: string };
};
/** definitions/InstanceInfo.state. */
export type InstanceState = 'Not started' | 'Running' | 'Paused';

/** One request that changes something. */
export type ApiRequest = { method: 'PUT' | 'PATCH'; path: string; body: object };

type Answer = { status: number; text: string };
type Failure = NodeJS.ErrnoException;

/** Nobody listens there yet. */
const ABSENT = new Set(['ENOENT', 'ECONNREFUSED']);

export class FirecrackerApi {
  readonly #socketPath: string;
  readonly #signal: AbortSignal;

  /** @param signal ends what is under way, with its reason */
  constructor(socketPath: string, signal: AbortSignal) {
    this.#socketPath = socketPath;
    this.#signal = signal;
  }

  /** Resolves when the socket answers. Only the signal ends the wait. */
  async ready(): Promise<void> {
    for (;;) {
      try {
        await this.state();
        return;
      } catch (error) {
        const code = ((error as Error).cause as Failure | undefined)?.code;
        if (code === undefined || !ABSENT.has(code)) throw error;
      }
      await sleep(API_POLL_MS, undefined, { signal: this.#signal }).catch(() => {});
      this.#signal.throwIfAborted();
    }
  }

  /** GET / (describeInstance). */
  async state(): Promise<InstanceState> {
    const { state } = await this.#get('/');
    if (state === 'Not started' || state === 'Running' || state === 'Paused') return state;
    throw unfit('GET /', 'it names no state of the machine');
  }

  /** PUT and PATCH answer 204 and nothing else. */
  async send({ method, path, body }: ApiRequest): Promise<void> {
    const isLong = path === '/actions' || path.startsWith('/snapshot/');
    const timeoutMs = isLong ? API_LONG_TIMEOUT_MS : API_TIMEOUT_MS;
    const { status, text } = await this.#ask(method, path, { body, timeoutMs });
    if (status !== 204) throw refusal(`${method} ${path}`, { status, text });
  }

  async start(): Promise<void> {
    await this.#put('/actions', { action_type: 'InstanceStart' });
  }

  /** docs/snapshotting/snapshot-support.md, "Pausing the microVM". */
  async pause(): Promise<void> {
    await this.send({ method: 'PATCH', path: '/vm', body: { state: 'Paused' } });
  }

  /** ibid., "Resuming the microVM". */
  async resume(): Promise<void> {
    await this.send({ method: 'PATCH', path: '/vm', body: { state: 'Resumed' } });
  }

  /** ibid., "Creating full snapshots": of a machine that is paused. */
  async createSnapshot(snapshot: SnapshotCreate): Promise<void> {
    await this.#put('/snapshot/create', snapshot);
  }

  /** ibid., "Loading snapshots": into a Firecracker that knows of nothing but its logger. */
  async loadSnapshot(snapshot: SnapshotLoad): Promise<void> {
    await this.#put('/snapshot/load', snapshot);
  }

  async #put(path: string, body: object): Promise<void> {
    await this.send({ method: 'PUT', path, body });
  }

  async #get(path: string): Promise<Record<string, unknown>> {
    const { status, text } = await this.#ask('GET', path, { timeoutMs: API_TIMEOUT_MS });
    if (status !== 200) throw refusal(`GET ${path}`, { status, text });
    const value = parse(text);
    if (value === undefined) throw unfit(`GET ${path}`, 'it is no JSON object');
    return value;
  }

  async #ask(
    method: string,
    path: string,
    { body, timeoutMs }: { body?: object; timeoutMs: number },
  ): Promise<Answer> {
    this.#signal.throwIfAborted();
    const deadline = AbortSignal.timeout(timeoutMs);
    try {
      return await exchange({
        ...{ socketPath: this.#socketPath, method, path },
        body: body === undefined ? '' : JSON.stringify(body),
        signal: AbortSignal.any([this.#signal, deadline]),
      });
    } catch (cause) {
      if (this.#signal.aborted) throw this.#signal.reason;
      const why = deadline.aborted ? `no answer in ${timeoutMs} ms` : (cause as Error).message;
      throw new AgentError(
        'boot_failed',
        `Firecracker's API did not take ${method} ${path}: ${why}. See whether it runs here: onejob doctor`,
        { cause },
      );
    }
  }
}

/** One request on a connection of its own; rejects with the error of the socket. */
async function exchange(options: {
  socketPath: string;
  method: string;
  path: string;
  body: string;
  signal: AbortSignal;
}): Promise<Answer> {
  const { socketPath, method, path, body, signal } = options;
  const { promise, resolve, reject } = Promise.withResolvers<Answer>();
  const headers = {
    accept: 'application/json',
    ...(body === ''
      ? {}
      : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) }),
  };
  const asked = request({ socketPath, method, path, headers, signal, agent: false }, (answer) => {
    const parts: Buffer[] = [];
    let bytes = 0;
    answer.on('data', (part: Buffer) => {
      bytes += part.length;
      if (bytes > API_ANSWER_BYTES) {
        asked.destroy(new Error(`its answer has over ${API_ANSWER_BYTES} bytes`));
      } else parts.push(part);
    });
    answer.on('error', reject);
    answer.on('aborted', () => reject(new Error('it closed the connection within its answer')));
    answer.on('end', () =>
      resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(parts).toString() }),
    );
  });
  asked.on('error', reject);
  asked.end(body);
  return await promise;
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null
      ? (value as Record<string, unknown>)
      : undefined;
  } catch {
    return undefined;
  }
}

/** definitions/Error holds `fault_message`; what holds none is shown as it came. */
function refusal(what: string, { status, text }: Answer): AgentError {
  const fault = parse(text)?.['fault_message'];
  const said = (typeof fault === 'string' ? fault : text.trim()).slice(0, SHOWN_OUTPUT_CHARACTERS);
  return new AgentError(
    'boot_failed',
    `Firecracker refused ${what} with status ${status}: ${said === '' ? '(no word)' : said}. What it needs of this host and its image: docs/drivers.md`,
  );
}

const unfit = (what: string, why: string): AgentError =>
  new AgentError(
    'boot_failed',
    `What answers ${what} is not Firecracker's API: ${why}. See which program it is: onejob doctor`,
  );
