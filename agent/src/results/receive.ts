/** A request's body into a file, or into memory: as long as it says, and not slower than a limit. */
import type { Hash } from 'node:crypto';
import { open, rm } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { CALL_BODY_MS, UPLOAD_IDLE_MS } from './limits.ts';
import { ResultsRefused } from './refused.ts';
import type { Body } from './store.ts';

const tooSlow = (): ResultsRefused =>
  new ResultsRefused('deadline_exceeded', 'The upload stood still for too long. Send it again.');

/**
 * Chunks of a stream, which outlives the reading of it: an answer may still be sent on it. It is
 * cut when a chunk is waited for so long; what its reader does with a chunk takes none of that
 * time. A stream is only ever cut while somebody listens: an error that nobody hears ends Node.
 */
async function* chunksOf(stream: Readable, idleMs: number): AsyncGenerator<Buffer> {
  const chunks = stream.iterator({ destroyOnReturn: false });
  try {
    for (;;) {
      const coming = chunks.next();
      const idle = setTimeout(() => stream.destroy(tooSlow()), idleMs);
      const chunk = await coming.finally(() => clearTimeout(idle));
      if (chunk.done) return;
      yield chunk.value as Buffer;
    }
  } finally {
    await chunks.return?.();
  }
}

export type ReceiveOptions = {
  /** Gets the content, which then is on the disk for good. */
  hash?: Hash | undefined;
  /** So many more bytes are in the file; what it throws ends the receiving. */
  landed?: (bytes: number) => Promise<void>;
  /** Waited for a byte for so long, the stream is cut. */
  idleMs?: number;
};

/** @throws ResultsRefused; then there is no file */
export async function receiveFile(
  { stream, sizeBytes }: Body,
  path: string,
  { hash, landed, idleMs = UPLOAD_IDLE_MS }: ReceiveOptions = {},
): Promise<void> {
  await using undo = new AsyncDisposableStack();
  const file = await open(path, 'wx', 0o600);
  let isWhole = false;
  undo.defer(async () => await (isWhole ? undefined : rm(path, { force: true })));
  undo.defer(async () => await file.close());
  let received = 0;
  try {
    for await (const chunk of chunksOf(stream, idleMs)) {
      received += chunk.length;
      if (received > sizeBytes) throw wrongSize(sizeBytes, 'more');
      hash?.update(chunk);
      await file.writeFile(chunk);
      await landed?.(chunk.length);
    }
  } catch (error) {
    throw explainWrite(error);
  }
  // A stream that is reset ends as well.
  if (received < sizeBytes) throw wrongSize(sizeBytes, `only ${received}`);
  // What is hashed is a whole content: it must be on the disk before an entry names it.
  if (hash !== undefined) await file.datasync();
  isWhole = true;
}

const wrongSize = (said: number, came: string): ResultsRefused =>
  new ResultsRefused('invalid_argument', `The upload says ${said} bytes, and ${came} came.`);

/** What went wrong with an upload, as its sender is told. */
export function explainWrite(error: unknown): ResultsRefused {
  if (error instanceof ResultsRefused) return error;
  if ((error as NodeJS.ErrnoException).code === 'ENOSPC') {
    const message = 'The disk of the host is full. Tell its operator.';
    return new ResultsRefused('out_of_range', message, { cause: error });
  }
  return new ResultsRefused('invalid_argument', 'The upload broke off. Send it again.', {
    cause: error,
  });
}

/** A small body as text. @throws ResultsRefused */
export async function receiveText(stream: Readable, limitBytes: number): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  const late = setTimeout(() => stream.destroy(tooSlow()), CALL_BODY_MS);
  try {
    for await (const chunk of chunksOf(stream, CALL_BODY_MS)) {
      bytes += chunk.length;
      if (bytes > limitBytes) {
        const message = `The request has more than ${limitBytes} bytes.`;
        throw new ResultsRefused('resource_exhausted', message);
      }
      chunks.push(chunk);
    }
  } catch (error) {
    throw explainWrite(error);
  } finally {
    clearTimeout(late);
  }
  return Buffer.concat(chunks).toString('utf8');
}
