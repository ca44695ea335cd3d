/**
 * Reads single files out of an erofs image without mounting it: a foreign file system in the host's
 * kernel would be a door, and erofs-utils of Debian 12 unpacks all or nothing. Follows
 * Documentation/filesystems/erofs.rst of the kernel for what our own images are: not compressed, one
 * device. Anything else, and any number that leads out of the file, is an error.
 */
import { open, type FileHandle } from 'node:fs/promises';
import { ImageError } from '../errors.ts';
import { EROFS_DIRECTORY_BYTES } from '../limits.ts';

const SUPER_OFFSET = 1024;
const SUPER_BYTES = 128;
const MAGIC = 0xe0f5e1e2;
const INODE_SLOT_BYTES = 32;
const EXTENDED_INODE_BYTES = 64;
const DIRENT_BYTES = 12;
const LAYOUT_PLAIN = 0;
const LAYOUT_INLINE = 2;
/** File types of an inode's mode (inode(7)). */
const TYPE_MASK = 0o170000;
const DIRECTORY = 0o040000;
const REGULAR = 0o100000;
const LINK = 0o120000;
/** Links followed for one path, as Linux does (path_resolution(7)). */
const MOST_LINKS = 40;
/** Of a link's target: PATH_MAX (limits.h of Linux). */
const LINK_BYTES = 4096;

interface Inode {
  type: number;
  sizeBytes: number;
  layout: number;
  rawBlock: number;
  /** Where what does not fill a block lies, for LAYOUT_INLINE. */
  tailOffset: number;
}

export class ErofsImage implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #path: string;
  #fileBytes = 0;
  #blockBytes = 0;
  #metaOffset = 0;
  #root = 0n;

  private constructor(file: FileHandle, path: string) {
    this.#file = file;
    this.#path = path;
  }

  static async open(path: string): Promise<ErofsImage> {
    const image = new ErofsImage(await open(path), path);
    try {
      image.#fileBytes = (await image.#file.stat()).size;
      const block = await image.#read(SUPER_OFFSET, SUPER_BYTES);
      const bits = block.readUInt8(12);
      if (block.readUInt32LE(0) !== MAGIC) throw image.#unreadable('it is no erofs file system');
      if (bits < 9 || bits > 16) throw image.#unreadable(`it has blocks of 2^${bits} bytes`);
      image.#blockBytes = 2 ** bits;
      image.#root = BigInt(block.readUInt16LE(14));
      image.#metaOffset = block.readUInt32LE(40) * image.#blockBytes;
      return image;
    } catch (error) {
      await image.#file.close();
      throw error;
    }
  }

  /** The content of a regular file, links followed within the image; undefined: there is none. */
  async readFile(path: string, limitBytes: number): Promise<Buffer | undefined> {
    const inode = await this.#find(path);
    if (inode?.type !== REGULAR) return undefined;
    if (inode.sizeBytes > limitBytes) {
      throw this.#unreadable(`/${path} has more than ${limitBytes} bytes`);
    }
    return await this.#content(inode);
  }

  /** Names in a directory, `.` and `..` left out; none: there is no such directory. */
  async list(path: string): Promise<string[]> {
    const inode = await this.#find(path);
    if (inode?.type !== DIRECTORY) return [];
    return [...(await this.#entries(inode)).keys()].filter((name) => !/^\.\.?$/.test(name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }

  async #find(path: string): Promise<Inode | undefined> {
    let left = partsOf(path);
    let links = 0;
    const walked = [await this.#inode(this.#root)];
    while (left.length > 0) {
      const [name = '', ...rest] = left;
      left = rest;
      if (name === '..') {
        if (walked.length > 1) walked.pop();
        continue;
      }
      const directory = walked.at(-1);
      if (directory?.type !== DIRECTORY) return undefined;
      const nid = (await this.#entries(directory)).get(name);
      if (nid === undefined) return undefined;
      const inode = await this.#inode(nid);
      if (inode.type !== LINK) {
        walked.push(inode);
        continue;
      }
      if (++links > MOST_LINKS) return undefined;
      if (inode.sizeBytes > LINK_BYTES) throw this.#unreadable('it has a link that is too long');
      const target = (await this.#content(inode)).toString();
      if (target.startsWith('/')) walked.splice(1);
      left = [...partsOf(target), ...left];
    }
    return walked.at(-1);
  }

  async #inode(nid: bigint): Promise<Inode> {
    const offset = this.#metaOffset + Number(nid) * INODE_SLOT_BYTES;
    // a short one may be the last of the file
    const slot = await this.#read(offset, EXTENDED_INODE_BYTES, INODE_SLOT_BYTES);
    const format = slot.readUInt16LE(0);
    const isExtended = (format & 1) === 1;
    const attributes = slot.readUInt16LE(2);
    // a header of 12 bytes counts as the first, each further one has 4 (struct erofs_xattr_ibody_header)
    const attributeBytes = attributes === 0 ? 0 : 12 + (attributes - 1) * 4;
    const inodeBytes = isExtended ? EXTENDED_INODE_BYTES : INODE_SLOT_BYTES;
    return {
      type: slot.readUInt16LE(4) & TYPE_MASK,
      sizeBytes: isExtended ? Number(slot.readBigUInt64LE(8)) : slot.readUInt32LE(8),
      layout: (format >> 1) & 7,
      rawBlock: slot.readUInt32LE(16),
      tailOffset: offset + inodeBytes + attributeBytes,
    };
  }

  async #content(inode: Inode): Promise<Buffer> {
    const { layout, rawBlock, sizeBytes, tailOffset } = inode;
    const start = rawBlock * this.#blockBytes;
    if (layout === LAYOUT_PLAIN) return await this.#read(start, sizeBytes);
    if (layout !== LAYOUT_INLINE) throw this.#unreadable('it is compressed');
    const tailBytes = sizeBytes % this.#blockBytes;
    const whole = sizeBytes - tailBytes;
    const blocks = whole === 0 ? Buffer.alloc(0) : await this.#read(start, whole);
    return Buffer.concat([blocks, await this.#read(tailOffset, tailBytes)]);
  }

  async #entries(directory: Inode): Promise<Map<string, bigint>> {
    if (directory.sizeBytes > EROFS_DIRECTORY_BYTES) {
      throw this.#unreadable('it has a directory that is too large');
    }
    const content = await this.#content(directory);
    const entries = new Map<string, bigint>();
    for (let start = 0; start < content.length; start += this.#blockBytes) {
      const block = content.subarray(start, start + this.#blockBytes);
      if (block.length < DIRENT_BYTES) break;
      const firstName = block.readUInt16LE(8);
      const count = Math.floor(firstName / DIRENT_BYTES);
      if (count * DIRENT_BYTES > block.length) throw this.#unreadable('a directory is damaged');
      const nameAt = (index: number): number =>
        index < count ? block.readUInt16LE(index * DIRENT_BYTES + 8) : block.length;
      for (let index = 0; index < count; index += 1) {
        const name = block.subarray(nameAt(index), nameAt(index + 1)).toString();
        const [untilZero = ''] = name.split('\0');
        entries.set(untilZero, block.readBigUInt64LE(index * DIRENT_BYTES));
      }
    }
    return entries;
  }

  async #read(offset: number, length: number, atLeast = length): Promise<Buffer> {
    // Before there is a buffer of that size, and before Node ends over a length that is no number of its.
    if (offset + atLeast > this.#fileBytes) throw this.#unreadable('it ends in the middle');
    const buffer = Buffer.alloc(length);
    const { bytesRead } = await this.#file.read(buffer, 0, length, offset);
    if (bytesRead < atLeast) throw this.#unreadable('it ends in the middle');
    return buffer;
  }

  #unreadable(what: string): ImageError {
    return new ImageError(
      'image_corrupt',
      `the root disk ${this.#path} cannot be looked into: ${what}; ` +
        'what is in it is not known (`onejob image build --force` builds one that can be)',
    );
  }
}

const partsOf = (path: string): string[] =>
  path.split('/').filter((part) => part !== '' && part !== '.');
