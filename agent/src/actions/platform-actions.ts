/**
 * Actions from repositories of the platform itself, as one job is given them: the control plane
 * decides which (those that the job's workflow names, of its own tenant). Nothing of it is kept for
 * other jobs.
 */
import { createWriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { once } from 'node:events';
import { constants, type ClientHttp2Stream, type IncomingHttpHeaders } from 'node:http2';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { ACTION_COMMIT_HEADER } from '@onejob/protocol';
import { SESSION_CREDENTIAL_HEADER } from '@onejob/protocol/agent-service';
import type { ControlPlaneClient } from '../control-plane/client.ts';
import { AgentError } from '../errors.ts';
import {
  ACTION_ARCHIVE_MS,
  ACTION_BYTES,
  ACTION_COMPLAINT_CHARACTERS,
  ACTION_RETRY_MS,
} from '../limits.ts';
import { isFullSha, type ActionReference } from './action-reference.ts';
import { ActionUnavailable } from './action-unavailable.ts';
import { hasTarEnd } from './tar-end.ts';

type JobLease = { jobId: string; attempt: number; sessionCredential: string };

export class PlatformActions {
  readonly #client: Pick<ControlPlaneClient, 'http'>;
  readonly #lease: JobLease;
  /** Whose actions may be there; undefined: it is not known yet. */
  readonly #tenant: () => string | undefined;

  constructor(parts: {
    client: Pick<ControlPlaneClient, 'http'>;
    lease: JobLease;
    tenant: () => string | undefined;
  }) {
    this.#client = parts.client;
    this.#lease = parts.lease;
    this.#tenant = parts.tenant;
  }

  /** Whether it is worth asking: only of its tenant's a job is given any. */
  mayHave({ owner, server }: ActionReference): boolean {
    return server === '' && owner.toLowerCase() === this.#tenant()?.toLowerCase();
  }

  /**
   * Writes the archive to `target`, a new file.
   * @returns its commit; undefined: the platform does not have it, or not for this job
   * @throws ActionUnavailable: it has, and does not give it; AgentError `control_plane_unreachable`
   */
  async fetch(
    reference: ActionReference,
    target: string,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    try {
      return await this.#ask(reference, target, signal);
    } catch (error) {
      if (signal.aborted || error instanceof ActionUnavailable) throw error;
    }
    await sleep(ACTION_RETRY_MS, undefined, { signal });
    try {
      return await this.#ask(reference, target, signal);
    } catch (cause) {
      if (signal.aborted || cause instanceof ActionUnavailable) throw cause;
      const message = 'An action of this platform could not be read from the control plane.';
      throw new AgentError('control_plane_unreachable', message, { cause });
    }
  }

  async #ask(
    { owner, repository, ref }: ActionReference,
    target: string,
    signal: AbortSignal,
  ): Promise<string | undefined> {
    const { jobId, attempt, sessionCredential } = this.#lease;
    const query = new URLSearchParams({ owner, repository, ref }).toString();
    const patience = AbortSignal.any([signal, AbortSignal.timeout(ACTION_ARCHIVE_MS)]);
    const stream = this.#client.http().request(
      {
        ':path': `/actions/${jobId}/${attempt}?${query}`,
        [SESSION_CREDENTIAL_HEADER]: sessionCredential,
      },
      { signal: patience },
    );
    // Who waits for the answer hears of it.
    stream.on('error', () => {});
    const [headers] = (await once(stream, 'response', { signal: patience })) as [
      IncomingHttpHeaders,
    ];
    const status = Number(headers[':status']);
    if (status === 200) {
      await save(stream, target);
      const commit = String(headers[ACTION_COMMIT_HEADER] ?? '');
      if (isFullSha(commit)) return commit;
      throw new Error('The control plane named no commit.');
    }
    const why = await textOf(stream);
    if (status === 404) return undefined;
    // 429: what jobs of its own tenant do is not the platform's failure.
    if (status === 403 || status === 429) throw new ActionUnavailable('refused', why);
    throw new Error(`The control plane answered ${status}: ${why}`);
  }
}

/** Writes a whole archive, or throws. */
async function save(stream: ClientHttp2Stream, target: string): Promise<void> {
  let bytes = 0;
  const counted = async function* (source: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
    for await (const chunk of source) {
      bytes += chunk.length;
      if (bytes > ACTION_BYTES) {
        const what = `it has more than ${ACTION_BYTES} bytes, which is the limit.`;
        throw new ActionUnavailable('too_large', what);
      }
      yield chunk;
    }
  };
  await pipeline(stream, counted, createWriteStream(target, { mode: 0o600 }));
  await using file = await open(target);
  const isWhole = stream.rstCode === constants.NGHTTP2_NO_ERROR && (await hasTarEnd(file, bytes));
  if (!isWhole) throw new Error('The archive of an action broke off.');
}

async function textOf(stream: ClientHttp2Stream): Promise<string> {
  let text = '';
  for await (const chunk of stream.setEncoding('utf8')) {
    if (text.length < ACTION_COMPLAINT_CHARACTERS) text += String(chunk);
  }
  return text.slice(0, ACTION_COMPLAINT_CHARACTERS);
}
