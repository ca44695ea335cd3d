/**
 * An archive that somebody made elsewhere, as a file with entries that can be read one by one, checked
 * on the way: nothing larger than said, nothing that unpacks without end, and what has a digest is
 * compared with it to the last byte.
 */
import { createHash, type Hash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { Transform, Writable, type Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createGunzip, createZstdDecompress } from 'node:zlib';
import { extract, type Header } from 'tar-stream';
import { ImageError } from '../errors.ts';
import { IMPORT_DOCUMENT_BYTES, IMPORT_ENTRIES, IMPORT_PART_BYTES } from '../limits.ts';

/** `sha256:<hex>`, as the OCI image specification writes it. */
export type Digest = string;

export interface ArchiveEntry {
  offset: number;
  sizeBytes: number;
  /** Of a link: where it leads. */
  linkName: string | undefined;
}

/** A part of a file: whole files, or entries of a tar. */
export interface FilePart {
  path: string;
  offset: number;
  sizeBytes: number;
}

type Packing = 'gzip' | 'zstd' | 'none';

const HEXADECIMAL_CHARS: Readonly<Record<string, number>> = { sha256: 64, sha512: 128 };

export function notUsable(archive: string, what: string, cause?: unknown): ImageError {
  return new ImageError('image_refused', `${archive} is not imported: ${what}`, { cause });
}

/** A digest that can be checked and that is no path. */
export function isDigest(value: unknown): value is Digest {
  if (typeof value !== 'string') return false;
  const [, algorithm = '', digits = ''] = /^(sha256|sha512):([0-9a-f]+)$/.exec(value) ?? [];
  return digits.length === HEXADECIMAL_CHARS[algorithm];
}

/** How it is packed, by its first bytes: what an archive says about itself may be wrong. */
async function packingOf(archive: string, { path, offset }: FilePart): Promise<Packing> {
  await using file = await open(path);
  const start = Buffer.alloc(6);
  await file.read(start, 0, start.length, offset);
  if (start.readUInt16BE(0) === 0x1f8b) return 'gzip';
  if (start.readUInt32BE(0) === 0x28b52ffd) return 'zstd';
  const others = { xz: Buffer.from('fd377a585a00', 'hex'), bzip2: Buffer.from('BZh') };
  for (const [name, magic] of Object.entries(others)) {
    if (!start.subarray(0, magic.length).equals(magic)) continue;
    throw notUsable(archive, `it is packed with ${name}; unpack it first (${name} -dk)`);
  }
  return 'none';
}

/**
 * The bytes of a part, unpacked. Ends with an error where they are not what `digest` (as they lie there)
 * or `unpackedDigest` says, or are more than `limitBytes`.
 */
export async function openPart(
  archive: string,
  part: FilePart,
  checks: { limitBytes: number; digest?: Digest | undefined; unpackedDigest?: Digest | undefined },
): Promise<[Readable, ...Transform[]]> {
  const packing = await packingOf(archive, part);
  const { path, offset, sizeBytes } = part;
  const end = offset + sizeBytes - 1;
  const source =
    sizeBytes === 0
      ? createReadStream('/dev/null')
      : createReadStream(path, { start: offset, end, highWaterMark: 256 * 1024 });
  const unpack =
    packing === 'gzip' ? [createGunzip()] : packing === 'zstd' ? [createZstdDecompress()] : [];
  return [
    source,
    ...checking(archive, checks.digest),
    ...unpack,
    limiting(archive, checks.limitBytes),
    ...checking(archive, checks.unpackedDigest),
  ];
}

function checking(archive: string, digest: Digest | undefined): Transform[] {
  if (digest === undefined) return [];
  const [algorithm = '', expected = ''] = digest.split(':');
  const hash: Hash = createHash(algorithm);
  return [
    new Transform({
      transform(chunk: Buffer, _encoding, done) {
        hash.update(chunk);
        done(null, chunk);
      },
      flush(done) {
        if (hash.digest('hex') === expected) return done();
        done(notUsable(archive, `a part of it is not what its digest ${digest} says`));
      },
    }),
  ];
}

function limiting(archive: string, limitBytes: number): Transform {
  let count = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      count += chunk.length;
      if (count <= limitBytes) return done(null, chunk);
      const limitGiB = Math.round(limitBytes / 1024 ** 3);
      done(notUsable(archive, `it unpacks to more than ${limitGiB} GiB`));
    },
  });
}

export type TarEntry = { header: Header; content: Readable };

const TAR_BLOCK_BYTES = 512;

/**
 * Ends a tar as tar(5) says, for layers that a digest says are whole: umoci up to 0.4.7 leaves out the
 * padding of the last file, and the two blocks of zeros that end it.
 */
export function endingTar(): Transform {
  let count = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      count += chunk.length;
      done(null, chunk);
    },
    flush(done) {
      const padding = (TAR_BLOCK_BYTES - (count % TAR_BLOCK_BYTES)) % TAR_BLOCK_BYTES;
      done(null, Buffer.alloc(padding + 2 * TAR_BLOCK_BYTES));
    },
  });
}

/** The entries of a tar; what the caller does not read of one is passed over. */
export async function* readTar(
  archive: string,
  stages: readonly [Readable, ...Transform[]],
): AsyncGenerator<TarEntry> {
  const entries = extract();
  const [source, ...transforms] = stages;
  const done = pipeline([source, ...transforms, entries as unknown as Writable]);
  done.catch(() => {}); // told below, after the entries
  let failure: unknown;
  try {
    for await (const entry of entries) {
      const content = entry as unknown as Readable;
      yield { header: entry.header, content };
      content.resume();
    }
  } catch (error) {
    failure = error;
  }
  const fault: unknown = await done.then(
    () => undefined,
    (error: unknown) => error,
  );
  // What a check of ours found says more than the entry that broke off for it.
  if (fault instanceof ImageError) throw fault;
  failure ??= fault;
  if (failure === undefined) return;
  const why = failure instanceof Error ? failure.message : 'for no reason';
  throw notUsable(archive, `it is damaged, or no archive (${why})`, failure);
}

/** A tar file with its entries by name; one that is packed is unpacked into `scratch` first. */
export class ArchiveFile {
  /** For messages. */
  readonly name: string;
  readonly part: FilePart;
  readonly entries: ReadonlyMap<string, ArchiveEntry>;

  private constructor(name: string, part: FilePart, entries: ReadonlyMap<string, ArchiveEntry>) {
    this.name = name;
    this.part = part;
    this.entries = entries;
  }

  static async open(path: string, unpackedPath: string): Promise<ArchiveFile> {
    const whole = { path, offset: 0, sizeBytes: await sizeOf(path) };
    const isPacked = (await packingOf(path, whole)) !== 'none';
    const part = isPacked ? await unpackInto(whole, unpackedPath) : whole;
    const entries = new Map<string, ArchiveEntry>();
    const stages = await openPart(path, part, { limitBytes: IMPORT_PART_BYTES });
    for await (const { header } of readTar(path, stages)) {
      if (entries.size >= IMPORT_ENTRIES) {
        throw notUsable(path, `it has more than ${IMPORT_ENTRIES} entries`);
      }
      // where the content of an entry begins, which its type declarations leave out
      const { byteOffset: offset } = header as Header & { byteOffset: number };
      const isLink = header.type === 'symlink' || header.type === 'link';
      entries.set(normalize(header.name), {
        offset,
        sizeBytes: header.size,
        linkName: isLink ? header.linkname : undefined,
      });
    }
    return new ArchiveFile(path, part, entries);
  }

  /** The part of the file that an entry is; links between entries are followed once. */
  find(name: string): FilePart | undefined {
    const entry = this.entries.get(name);
    if (entry?.linkName === undefined) return entry && { ...entry, path: this.part.path };
    const beside = name.split('/').slice(0, -1);
    const target =
      this.entries.get(resolveBeside(beside, entry.linkName)) ??
      this.entries.get(normalize(entry.linkName));
    if (target === undefined || target.linkName !== undefined) return undefined;
    return { ...target, path: this.part.path };
  }

  /** A JSON document of the archive. */
  async document(name: string, digest?: Digest): Promise<unknown> {
    const part = this.find(name);
    if (part === undefined) throw notUsable(this.name, `it has no ${name}`);
    if (part.sizeBytes > IMPORT_DOCUMENT_BYTES) {
      throw notUsable(this.name, `its ${name} is larger than 4 MiB`);
    }
    const stages = await openPart(this.name, part, { limitBytes: IMPORT_DOCUMENT_BYTES, digest });
    const chunks: Buffer[] = [];
    const collect = new Writable({
      write(chunk: Buffer, _encoding, done) {
        chunks.push(chunk);
        done();
      },
    });
    await pipeline([...stages, collect]);
    try {
      return JSON.parse(Buffer.concat(chunks).toString()) as unknown;
    } catch (cause) {
      throw notUsable(this.name, `its ${name} is no JSON`, cause);
    }
  }
}

async function sizeOf(path: string): Promise<number> {
  await using file = await open(path);
  const found = await file.stat();
  if (!found.isFile()) throw notUsable(path, 'it is no file');
  return found.size;
}

async function unpackInto(part: FilePart, target: string): Promise<FilePart> {
  const stages = await openPart(part.path, part, { limitBytes: IMPORT_PART_BYTES });
  try {
    await pipeline([...stages, createWriteStream(target, { mode: 0o600 })]);
  } catch (cause) {
    if (cause instanceof ImageError || (cause as NodeJS.ErrnoException).syscall !== undefined) {
      throw cause;
    }
    throw notUsable(part.path, 'it is damaged: it cannot be unpacked', cause);
  }
  return { path: target, offset: 0, sizeBytes: await sizeOf(target) };
}

const normalize = (name: string): string =>
  name
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');

function resolveBeside(directory: readonly string[], link: string): string {
  const parts = [...directory];
  for (const part of link.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.join('/');
}
