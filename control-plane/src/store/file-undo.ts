/**
 * Takes back changes to files: told of each change, it keeps what the change destroys, and plays
 * that backwards. Files are overwritten in place, so links would not do, and whole copies would cost
 * as much as the database is large: it keeps the overwritten blocks.
 */
import {
  chmodSync,
  closeSync,
  fstatSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

/** PostgreSQL's pages have this size: most writes are one. */
const BLOCK_BYTES = 8192;

/** A file that was there before: its own descriptor reaches it under any name. */
type Original = { descriptor: number; bytes: number; kept: Set<number> };

export class FileUndo {
  readonly #folder: string;
  readonly #undos: (() => void)[] = [];
  /** By inode. None is reused: a file that was there is moved aside, never deleted. */
  readonly #originals = new Map<bigint, Original>();
  readonly #created = new Set<bigint>();
  #spool: number | undefined;
  #spoolBytes = 0;
  #names = 0;

  /** `folder` holds what is kept: on the same file system, and ours to empty. */
  constructor(folder: string) {
    this.#folder = folder;
    rmSync(folder, { recursive: true, force: true });
  }

  /** `opened`: a descriptor of the file, which may have no name any more. */
  beforeWrite(path: string, opened: number, position: number, length: number): void {
    const original = this.#originalOf(path, fstatSync(opened, { bigint: true }).ino);
    if (original !== undefined) this.#keepBlocks(original, position, position + length);
  }

  /** `bytes`: the size the file will have; undefined: it stays. */
  beforeAttributes(path: string, bytes: number | undefined): void {
    const { mode, ino } = statSync(path, { bigint: true });
    this.#undos.push(() => chmodSync(path, Number(mode) & 0o7777));
    if (bytes === undefined) return;
    const original = this.#originalOf(path, ino);
    if (original !== undefined) this.#keepBlocks(original, bytes, original.bytes);
  }

  afterCreation(path: string): void {
    const found = lstatSync(path, { bigint: true });
    if (found.isDirectory()) {
      this.#undos.push(() => rmdirSync(path));
      return;
    }
    this.#created.add(found.ino);
    this.#undos.push(() => rmSync(path, { force: true }));
  }

  beforeRename(from: string, to: string): void {
    if (statSync(to, { throwIfNoEntry: false })?.isFile() === true) this.unlink(to);
    this.#undos.push(() => renameSync(to, from));
  }

  /** Does the deletion itself. */
  unlink(path: string): void {
    mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
    const aside = join(this.#folder, String((this.#names += 1)));
    renameSync(path, aside);
    this.#undos.push(() => renameSync(aside, path));
  }

  afterFolderRemoval(path: string, mode: number): void {
    this.#undos.push(() => mkdirSync(path, { mode: mode & 0o7777 }));
  }

  keep(): void {
    this.#close();
  }

  undo(): void {
    for (const undo of this.#undos.splice(0).toReversed()) undo();
    this.#close();
  }

  #close(): void {
    for (const { descriptor } of this.#originals.values()) closeSync(descriptor);
    this.#originals.clear();
    if (this.#spool !== undefined) closeSync(this.#spool);
    this.#spool = undefined;
    rmSync(this.#folder, { recursive: true, force: true });
  }

  /** Undefined: the file was created since. */
  #originalOf(path: string, ino: bigint): Original | undefined {
    if (this.#created.has(ino)) return undefined;
    const known = this.#originals.get(ino);
    if (known !== undefined) return known;
    const descriptor = openSync(path, 'r+');
    const { size: bytes } = fstatSync(descriptor);
    const original = { descriptor, bytes, kept: new Set<number>() };
    this.#originals.set(ino, original);
    this.#undos.push(() => ftruncateSync(descriptor, bytes));
    return original;
  }

  /** Keeps the blocks of `[from, to)` as they were, unless they are kept. */
  #keepBlocks(original: Original, from: number, to: number): void {
    const { descriptor, bytes, kept } = original;
    const end = Math.min(to, bytes);
    for (let block = Math.floor(from / BLOCK_BYTES); block * BLOCK_BYTES < end; block += 1) {
      if (kept.has(block)) continue;
      const position = block * BLOCK_BYTES;
      const content = Buffer.alloc(Math.min(BLOCK_BYTES, bytes - position));
      readSync(descriptor, content, 0, content.length, position);
      this.#keepContent(descriptor, content, position);
      kept.add(block);
    }
  }

  #keepContent(descriptor: number, content: Buffer, position: number): void {
    if (this.#spool === undefined) {
      mkdirSync(this.#folder, { recursive: true, mode: 0o700 });
      this.#spool = openSync(join(this.#folder, 'blocks'), 'w+', 0o600);
    }
    const spool = this.#spool;
    const at = this.#spoolBytes;
    writeAll(spool, content, at);
    this.#spoolBytes += content.length;
    this.#undos.push(() => {
      const again = Buffer.alloc(content.length);
      readSync(spool, again, 0, again.length, at);
      writeAll(descriptor, again, position);
    });
  }
}

function writeAll(descriptor: number, content: Buffer, position: number): void {
  let done = 0;
  while (done < content.length) {
    done += writeSync(descriptor, content, done, content.length - done, position + done);
  }
}
