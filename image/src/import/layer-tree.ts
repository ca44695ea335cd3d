/**
 * The file tree that the layers of an archive make, without touching a file system: every entry is
 * checked when it is put in, and what comes out has only paths below the root whose parents are real
 * directories. Layers are put on each other as the OCI image specification says ("Applying Changesets"),
 * whiteouts among them; links in the way of a path are followed inside the tree, never outside.
 *
 * Refused: absolute paths and `..`, hard links to what is not there or leads out, devices and pipes
 * (those in `/dev` are left out: the guest has its own), paths over Linux's limits, too many entries.
 */
import { ImageError } from '../errors.ts';
import {
  IMPORT_DEPTH,
  IMPORT_ENTRIES,
  IMPORT_LINKS,
  IMPORT_NAME_BYTES,
  IMPORT_PATH_BYTES,
} from '../limits.ts';

interface Attributes {
  /** Permissions, with set-user-id and the like. */
  mode: number;
  uid: number;
  gid: number;
  mtime: Date;
}

/** Names that are hard links of each other have the same object. */
export interface FileNode extends Attributes {
  kind: 'file';
  sizeBytes: number;
  /** Where its bytes are. */
  layer: number;
  entry: number;
}

export interface LinkNode extends Attributes {
  kind: 'link';
  target: string;
}

export interface DirectoryNode extends Attributes {
  kind: 'directory';
  children: Map<string, Child>;
}

export type TreeNode = FileNode | LinkNode | DirectoryNode;
/** `layer`: the latest one that said something of it. */
interface Child {
  layer: number;
  node: TreeNode;
}

/** One entry of a layer, as a tar header has it. */
export interface LayerEntry extends Attributes {
  name: string;
  type: string | null;
  sizeBytes: number;
  linkName: string;
}

const WHITEOUT = '.wh.';
const OPAQUE = '.wh..wh..opq';
/** What aufs kept beside files; it means nothing elsewhere. */
const AUFS_OWN = '.wh..wh.';

const newDirectory = (): DirectoryNode => ({
  kind: 'directory',
  mode: 0o755,
  uid: 0,
  gid: 0,
  mtime: new Date(0),
  children: new Map(),
});

export class LayerTree {
  readonly root = newDirectory();
  /** Device nodes and pipes of `/dev` that were left out. */
  leftOut = 0;
  readonly #archive: string;
  #entries = 0;

  /** @param archive its name, for messages */
  constructor(archive: string) {
    this.#archive = archive;
  }

  /** @param place the layer, from 0, and the entry in it */
  put(
    entry: LayerEntry,
    place: { layer: number; entry: number },
    options: { hasWhiteouts: boolean },
  ): void {
    if (++this.#entries > IMPORT_ENTRIES) {
      throw this.#refusal(`it has more than ${IMPORT_ENTRIES} entries`);
    }
    const parts = this.#partsOf(entry.name, `the entry "${shown(entry.name)}"`);
    const name = parts.at(-1);
    if (name === undefined) {
      if (entry.type !== 'directory') throw this.#refusal('its root is no directory');
      Object.assign(this.root, attributesOf(entry));
      return;
    }
    const parent = this.#openParent(parts, place.layer);
    if (options.hasWhiteouts && name.startsWith(WHITEOUT)) {
      this.#whiteOut(parent, name, place.layer);
      return;
    }
    const node = this.#nodeOf(entry, parts, place, parent.children.get(name)?.node);
    if (node !== undefined) parent.children.set(name, { layer: place.layer, node });
  }

  /** What is at a path; the last part is followed only where `follow` says so. */
  find(path: string, follow = true): TreeNode | undefined {
    return this.#walk(path.split('/').filter(Boolean), follow);
  }

  /** Removes what is at a path, not following a link there; absent is no error. */
  remove(path: string): void {
    const parts = path.split('/').filter(Boolean);
    const parent = this.#walk(parts.slice(0, -1), true);
    if (parent?.kind === 'directory') parent.children.delete(parts.at(-1) ?? '');
  }

  /** A directory at each part of a path, none of them by a link; undefined: something else is there. */
  makeDirectory(path: string): DirectoryNode | undefined {
    let directory = this.root;
    for (const part of path.split('/')) {
      const found = directory.children.get(part)?.node;
      if (found !== undefined && found.kind !== 'directory') return undefined;
      const next = found ?? newDirectory();
      if (found === undefined) directory.children.set(part, { layer: -1, node: next });
      directory = next;
    }
    return directory;
  }

  /** Every path with what is there, directories before their content, in the order of names. */
  *paths(): Generator<[path: string, node: TreeNode]> {
    const queue: [string, DirectoryNode][] = [['', this.root]];
    for (let next = queue.pop(); next !== undefined; next = queue.pop()) {
      const [prefix, directory] = next;
      const inner: [string, DirectoryNode][] = [];
      const names = [...directory.children.keys()].toSorted();
      for (const name of names) {
        const node = directory.children.get(name)?.node;
        if (node === undefined) continue;
        yield [`${prefix}${name}`, node];
        if (node.kind === 'directory') inner.push([`${prefix}${name}/`, node]);
      }
      queue.push(...inner.toReversed());
    }
  }

  #nodeOf(
    entry: LayerEntry,
    parts: readonly string[],
    place: { layer: number; entry: number },
    existing: TreeNode | undefined,
  ): TreeNode | undefined {
    const { type, sizeBytes } = entry;
    const attributes = attributesOf(entry);
    switch (type) {
      case 'directory': {
        const children =
          existing?.kind === 'directory' ? existing.children : new Map<string, Child>();
        return { kind: 'directory', ...attributes, children };
      }
      case 'file':
      case 'contiguous-file':
        return { kind: 'file', ...attributes, sizeBytes, ...place };
      case 'symlink':
        if (entry.linkName === '' || Buffer.byteLength(entry.linkName) > IMPORT_PATH_BYTES) {
          throw this.#refusal(`the link "${shown(entry.name)}" leads nowhere or too far`);
        }
        return { kind: 'link', ...attributes, target: entry.linkName };
      case 'link':
        return this.#linked(entry);
      default:
        if (parts[0] === 'dev' && parts.length > 1) {
          this.leftOut += 1;
          return undefined;
        }
        throw this.#refusal(
          `"${shown(entry.name)}" is ${type ?? 'of an unknown kind'}: only files, directories and links ` +
            'belong into an image, and devices only below /dev',
        );
    }
  }

  #linked(entry: LayerEntry): TreeNode {
    const what = `the hard link "${shown(entry.name)}" to "${shown(entry.linkName)}"`;
    const target = this.#walk(this.#partsOf(entry.linkName, what), false);
    if (target === undefined || target.kind === 'directory') {
      throw this.#refusal(`${what} leads to no file of it`);
    }
    return target;
  }

  /** Takes away what lower layers have; what this layer put there stays, in whatever order it came. */
  #whiteOut(parent: DirectoryNode, name: string, layer: number): void {
    if (name === OPAQUE) {
      for (const child of [...parent.children.keys()]) hideLower(parent, child, layer);
    } else if (!name.startsWith(AUFS_OWN)) {
      hideLower(parent, name.slice(WHITEOUT.length), layer);
    }
  }

  /** Makes what is missing; a link in the way is followed, a file in the way is an error. */
  #openParent(parts: readonly string[], layer: number): DirectoryNode {
    const walked: DirectoryNode[] = [this.root];
    let left = parts.slice(0, -1);
    let links = 0;
    while (left.length > 0) {
      const [part = '', ...rest] = left;
      left = rest;
      const directory = walked.at(-1) ?? this.root;
      if (part === '..') {
        if (walked.length > 1) walked.pop();
        continue;
      }
      const found = directory.children.get(part)?.node;
      if (found === undefined) {
        const made = newDirectory();
        directory.children.set(part, { layer, node: made });
        walked.push(made);
      } else if (found.kind === 'directory') {
        walked.push(found);
      } else if (found.kind === 'link' && ++links <= IMPORT_LINKS) {
        if (found.target.startsWith('/')) walked.splice(1);
        left = [...found.target.split('/').filter(isStep), ...left];
      } else {
        throw this.#refusal(
          `"${shown(parts.join('/'))}" lies below "${part}", which is no directory`,
        );
      }
      if (walked.length > IMPORT_DEPTH) throw this.#tooDeep(parts);
    }
    return walked.at(-1) ?? this.root;
  }

  #walk(parts: readonly string[], follow: boolean): TreeNode | undefined {
    const walked: TreeNode[] = [this.root];
    let left = [...parts];
    let links = 0;
    while (left.length > 0) {
      const [part = '', ...rest] = left;
      left = rest;
      if (part === '..') {
        if (walked.length > 1) walked.pop();
        continue;
      }
      const directory = walked.at(-1);
      const found =
        directory?.kind === 'directory' ? directory.children.get(part)?.node : undefined;
      if (found === undefined) return undefined;
      if (found.kind !== 'link' || (left.length === 0 && !follow)) {
        walked.push(found);
        continue;
      }
      if (++links > IMPORT_LINKS) return undefined;
      if (found.target.startsWith('/')) walked.splice(1);
      left = [...found.target.split('/').filter(isStep), ...left];
    }
    return walked.at(-1);
  }

  #partsOf(path: string, what: string): string[] {
    const parts = path.split('/').filter(isStep);
    // umoci calls the root so
    if (path === '/') return parts;
    const problem =
      path === ''
        ? 'has no path'
        : path.startsWith('/')
          ? 'has an absolute path'
          : path.includes('\0')
            ? 'has a zero byte in its path'
            : parts.includes('..')
              ? 'leads out of it (..)'
              : parts.some((part) => Buffer.byteLength(part) > IMPORT_NAME_BYTES)
                ? `has a name of more than ${IMPORT_NAME_BYTES} bytes`
                : Buffer.byteLength(path) > IMPORT_PATH_BYTES
                  ? `has a path of more than ${IMPORT_PATH_BYTES} bytes`
                  : undefined;
    if (problem !== undefined) throw this.#refusal(`${what} ${problem}`);
    if (parts.length > IMPORT_DEPTH) throw this.#tooDeep(parts);
    return parts;
  }

  #tooDeep(parts: readonly string[]): ImageError {
    const what = shown(parts.join('/'));
    return this.#refusal(`"${what}" is more than ${IMPORT_DEPTH} directories deep`);
  }

  #refusal(what: string): ImageError {
    const message = `${this.#archive} is not imported: ${what}; nothing of it was kept`;
    return new ImageError('image_refused', message);
  }
}

const isStep = (part: string): boolean => part !== '' && part !== '.';

/** A name of somebody else's in a message: short, and no control characters. */
function shown(text: string): string {
  const safe = text.replaceAll(/\p{Cc}/gu, '?');
  return safe.length <= 200 ? safe : `${safe.slice(0, 200)}...`;
}

const attributesOf = ({ mode, uid, gid, mtime }: Attributes): Attributes => ({
  mode: mode & 0o7777,
  uid,
  gid,
  // a time before 1970 has no place in a header
  mtime: new Date(Math.max(0, mtime.getTime())),
});

function hideLower(parent: DirectoryNode, name: string, layer: number): void {
  const child = parent.children.get(name);
  if (child === undefined) return;
  const { node } = child;
  if (node.kind === 'directory') {
    for (const inner of [...node.children.keys()]) hideLower(node, inner, layer);
    if (node.children.size > 0) return;
  }
  if (child.layer < layer) parent.children.delete(name);
}
