/**
 * One upload on its way into a directory store: a directory of its own with a file a block, then one
 * file with the content.
 *
 *     open -> joining -> whole -> kept
 *       '--------'---------'----> discarded
 *
 * Promises: after `keep` or `discard` has returned nothing of it is left in its directory, also while
 * requests were writing there.
 */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import type { TakenRoom } from './disk-room.ts';
import { BLOCK_ID_CHARACTERS, ENTRY_BYTES, UPLOAD_BLOCKS } from './limits.ts';
import { explainWrite, receiveFile } from './receive.ts';
import { ResultsRefused } from './refused.ts';
import type { Body, Budget, Content, Draft, Entry, Upload } from './store.ts';

/** What an upload asks of its store. */
export type UploadStore = {
  /** Throws `out_of_range` where the host's disk has no room for so many bytes. */
  takeRoom(bytes: number): Promise<TakenRoom>;
  /** Takes the file over. */
  keep(file: string, content: Content): Promise<Entry>;
  /** The name is free again. */
  forget(): void;
};

type Block = { file: string; sizeBytes: number };

export class DirectoryUpload implements Upload {
  readonly draft: Draft;
  readonly #directory: string;
  readonly #budget: Budget;
  readonly #store: UploadStore;
  readonly #blocks = new Map<string, Block>();
  /** Requests that write here now, with the streams they read. */
  readonly #working = new Map<Promise<void>, Readable | undefined>();
  #state: 'open' | 'joining' | 'whole' | 'over' = 'open';
  #file = '';
  #content: Content | undefined;
  #files = 0;
  #bytes = 0;

  /** @param directory is there, empty, and its alone */
  constructor(directory: string, draft: Draft, budget: Budget, store: UploadStore) {
    this.#directory = directory;
    this.draft = draft;
    this.#budget = budget;
    this.#store = store;
  }

  get content(): Content | undefined {
    return this.#content;
  }

  blockIds(): string[] {
    return [...this.#blocks.keys()];
  }

  async putBlock(id: string, body: Body): Promise<void> {
    if (id === '' || id.length > BLOCK_ID_CHARACTERS) {
      throw new ResultsRefused(
        'invalid_argument',
        `A block's id has 1 to ${BLOCK_ID_CHARACTERS} characters.`,
      );
    }
    this.#expect('open');
    if (!this.#blocks.has(id) && this.#blocks.size + this.#working.size >= UPLOAD_BLOCKS) {
      throw new ResultsRefused(
        'resource_exhausted',
        `An upload has at most ${UPLOAD_BLOCKS} blocks. Send larger ones.`,
      );
    }
    await this.#write(body.stream, async () => {
      const file = await this.#receive(body);
      const before = this.#blocks.get(id);
      this.#blocks.set(id, { file, sizeBytes: body.sizeBytes });
      if (before !== undefined) await this.#remove(before);
    });
  }

  async putWhole(body: Body): Promise<void> {
    if (this.#state === 'whole') await this.#takeBack();
    this.#expect('open');
    this.#state = 'joining';
    const hash = createHash('sha256');
    try {
      await this.#write(body.stream, async () => {
        this.#file = await this.#receive(body, hash);
      });
    } catch (error) {
      if (this.#isAt('joining')) this.#state = 'open';
      throw error;
    }
    this.#becomeWhole({ sizeBytes: body.sizeBytes, sha256: hash.digest('hex') });
  }

  async commit(ids: readonly string[]): Promise<void> {
    if (ids.length > UPLOAD_BLOCKS) {
      throw new ResultsRefused('invalid_argument', `A list has at most ${UPLOAD_BLOCKS} blocks.`);
    }
    if (this.#state === 'whole') return; // asked again, as its answer was lost
    this.#expect('open');
    if (new Set(ids).size !== ids.length) {
      throw new ResultsRefused('invalid_argument', 'The list names a block twice.');
    }
    const blocks = ids.map((id) => {
      const block = this.#blocks.get(id);
      if (block !== undefined) return block;
      throw new ResultsRefused('invalid_argument', 'The list names a block that was not sent.');
    });
    this.#state = 'joining';
    let content: Content | undefined;
    try {
      await this.#write(undefined, async () => {
        content = await this.#join(blocks);
      });
    } catch (error) {
      if (this.#isAt('joining')) this.#state = 'open';
      throw explainWrite(error);
    }
    if (content !== undefined) this.#becomeWhole(content);
  }

  async keep(): Promise<Entry> {
    const content = this.#content;
    if (this.#state !== 'whole' || content === undefined) {
      throw new ResultsRefused('failed_precondition', 'There is no complete upload yet.');
    }
    this.#state = 'over';
    try {
      return await this.#store.keep(this.#file, content);
    } finally {
      await this.#leave();
    }
  }

  async discard(): Promise<void> {
    if (this.#state === 'over') return;
    this.#state = 'over';
    for (const stream of this.#working.values()) stream?.destroy();
    await Promise.allSettled(this.#working.keys());
    await this.#leave();
  }

  async #leave(): Promise<void> {
    await rm(this.#directory, { recursive: true, force: true });
    this.#budget.giveBack(this.#bytes);
    this.#bytes = 0;
    this.#store.forget();
  }

  /** A file with exactly the body, paid for. */
  async #receive(body: Body, hash?: ReturnType<typeof createHash>): Promise<string> {
    const file = join(this.#directory, String(this.#files++));
    this.#pay(body.sizeBytes);
    try {
      using room = await this.#store.takeRoom(body.sizeBytes);
      await receiveFile(body, file, { hash, landed: room.landed });
    } catch (error) {
      this.#refund(body.sizeBytes);
      throw error;
    }
    return file;
  }

  /** The blocks as one file; each goes as soon as it is copied, so a failure needs them anew. */
  async #join(blocks: readonly Block[]): Promise<Content> {
    this.#blocks.clear();
    const path = join(this.#directory, String(this.#files++));
    const hash = createHash('sha256');
    let sizeBytes = 0;
    await using whole = await open(path, 'wx', 0o600);
    for (const block of blocks) {
      using room = await this.#store.takeRoom(block.sizeBytes);
      for await (const chunk of createReadStream(block.file, { highWaterMark: 1024 * 1024 })) {
        this.#expect('joining');
        hash.update(chunk as Buffer);
        await whole.writeFile(chunk as Buffer);
        await room.landed((chunk as Buffer).length);
      }
      sizeBytes += block.sizeBytes;
      await rm(block.file);
    }
    await whole.datasync();
    this.#file = path;
    return { sizeBytes, sha256: hash.digest('hex') };
  }

  #becomeWhole(content: Content): void {
    this.#expect('joining');
    this.#state = 'whole';
    this.#content = content;
  }

  /** The whole comes again, as the answer to the first was lost. */
  async #takeBack(): Promise<void> {
    const { sizeBytes = 0 } = this.#content ?? {};
    this.#content = undefined;
    this.#state = 'open';
    await this.#remove({ file: this.#file, sizeBytes });
  }

  async #remove({ file, sizeBytes }: Block): Promise<void> {
    this.#refund(sizeBytes);
    await rm(file, { force: true });
  }

  async #write(stream: Readable | undefined, work: () => Promise<void>): Promise<void> {
    const working = work();
    this.#working.set(working, stream);
    try {
      await working;
    } finally {
      this.#working.delete(working);
    }
  }

  #pay(bytes: number): void {
    if (this.#bytes + bytes > ENTRY_BYTES) {
      throw new ResultsRefused(
        'resource_exhausted',
        `A cache or artifact has at most ${ENTRY_BYTES} bytes.`,
      );
    }
    this.#budget.take(bytes);
    this.#bytes += bytes;
  }

  #refund(bytes: number): void {
    this.#bytes -= bytes;
    this.#budget.giveBack(bytes);
  }

  #isAt(state: string): boolean {
    return this.#state === state;
  }

  #expect(state: 'open' | 'joining'): void {
    if (this.#state === state) return;
    throw new ResultsRefused(
      'failed_precondition',
      this.#state === 'over' ? 'This upload is over.' : 'This upload has its content already.',
    );
  }
}
