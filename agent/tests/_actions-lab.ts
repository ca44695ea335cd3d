/**
 * Actions as jobs ask for them: a real store in a fresh directory, a real guard that lets loopback
 * through, git's own server, and for each job its requests over HTTP/2.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type IncomingHttpHeaders } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import { newSandboxId, type SandboxId } from '@onejob/protocol';
import { ActionSource } from '../src/actions/action-source.ts';
import { ActionStore, type StoreLimits } from '../src/actions/action-store.ts';
import type { JobActions } from '../src/actions/job-actions.ts';
import type { EgressRecord } from '../src/guard/egress-record.ts';
import { createGuard } from '../src/guard/guard.ts';
import { AUDIT } from '../src/guard/job-policy.ts';

export type Answer = {
  status: number;
  headers: IncomingHttpHeaders;
  /** Of a refusal: its sentence. */
  text: string;
  body: Buffer;
};

export type LabJob = AsyncDisposable & {
  sandboxId: SandboxId;
  actions: JobActions;
  ask(query: Record<string, string>, signal?: AbortSignal): Promise<Answer>;
};

export type LabOptions = {
  mirrors?: string[];
  urls?: string[];
  owners?: ReadonlyMap<string, string>;
  /** Loopback is as closed as for any job. */
  isLoopbackClosed?: boolean;
  limits?: Partial<StoreLimits>;
  bytes?: number;
};

/** Of the default server. */
export const GREET = { server: '', owner: 'acme', repository: 'greet' };

export class ActionsLab implements AsyncDisposable {
  readonly root = mkdtempSync(join(tmpdir(), 'onejob-actions-'));
  readonly directory = join(this.root, 'actions');
  readonly records: EgressRecord[] = [];
  readonly warnings: string[] = [];
  nowMs = Date.now();
  /** What the host's disk has left. */
  freeBytes = Infinity;
  #source: ActionSource | undefined;
  readonly #jobs: LabJob[] = [];

  static async open(options: LabOptions = {}): Promise<ActionsLab> {
    const lab = new ActionsLab();
    await lab.restart(options);
    return lab;
  }

  /** As a new agent does on the same directory. */
  async restart(options: LabOptions): Promise<void> {
    await this.stop();
    const store = await ActionStore.open(this.directory, {
      nowMs: () => this.nowMs,
      freeBytes: async () => await Promise.resolve(this.freeBytes),
      ...(options.limits === undefined ? {} : { limits: options.limits }),
    });
    const guard = createGuard({
      records: (record) => this.records.push(record),
      ...(options.isLoopbackClosed === true ? {} : { hazardousReachableLoopback: 'only-in-tests' }),
    });
    const config = {
      actionMirrors: options.mirrors ?? [],
      actionsUrls: options.urls ?? [],
      actionOwners: options.owners ?? new Map(),
      builtinActions: 'fallback',
      warn: (message: string) => void this.warnings.push(message),
    } as const;
    const limit = options.bytes === undefined ? {} : { bytes: options.bytes };
    this.#source = new ActionSource(config, { guard, store, ...limit });
  }

  async job(): Promise<LabJob> {
    const sandboxId = newSandboxId();
    if (this.#source === undefined) throw new Error('nothing is open');
    const actions = this.#source.forJob({ sandboxId, policy: () => AUDIT });
    const server = createServer();
    server.on('stream', (stream, headers) => {
      stream.on('error', () => {});
      void actions.answer(stream, headers[':path'] ?? '');
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const session = connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    let isOpen = true;
    const job: LabJob = {
      sandboxId,
      actions,
      ask: async (query, signal) => {
        const path = `/actions/?${new URLSearchParams({ ...GREET, ...query }).toString()}`;
        const stream = session.request({ ':path': path }, signal === undefined ? {} : { signal });
        const closed = once(stream, 'close').then(() => {
          throw new Error('The stream was closed without an answer.');
        });
        const answered = once(stream, 'response') as Promise<[IncomingHttpHeaders]>;
        answered.catch(() => {});
        closed.catch(() => {});
        const [headers] = await Promise.race([answered, closed]);
        const body = await buffer(stream);
        return { status: Number(headers[':status']), headers, body, text: body.toString() };
      },
      [Symbol.asyncDispose]: async () => {
        if (!isOpen) return;
        isOpen = false;
        actions.close();
        session.close();
        server.close();
        await once(server, 'close');
      },
    };
    this.#jobs.push(job);
    return job;
  }

  async stop(): Promise<void> {
    for (const job of this.#jobs.splice(0)) await job[Symbol.asyncDispose]();
    await this.#source?.[Symbol.asyncDispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** What one file of an archive says. */
export const fileIn = (archive: Buffer, name = 'action.yml'): string =>
  execFileSync('tar', ['-xO', '--wildcards', `*${name}`], { input: archive, encoding: 'utf8' });
