/**
 * From the layers of an archive to one plain tar that any tar may unpack without care: directories
 * first, then files, then hard links between them, links last, each path below the root and none
 * through a link. The layers are read twice: once for the tree, which refuses what must not be, and
 * once for the bytes of what is left of them.
 */
import { createWriteStream } from 'node:fs';
import type { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { pack, type Header, type Pack } from 'tar-stream';
import { IMPORT_UNPACKED_BYTES } from '../limits.ts';
import { endingTar, notUsable, openPart, readTar, type TarEntry } from './archive-file.ts';
import type { ContainerArchive } from './container-archive.ts';
import { LayerTree, type FileNode, type TreeNode } from './layer-tree.ts';

/** Headers that are packed before what was packed is written: some KB of memory. */
const HEADERS_AT_A_TIME = 64;

/** Reads every layer once, checks every entry, and compares every digest. */
export async function readTree(name: string, archive: ContainerArchive): Promise<LayerTree> {
  const tree = new LayerTree(name);
  const hasWhiteouts = archive.kind !== 'root';
  for await (const { layer, entry, header } of entriesOf(name, archive)) {
    tree.put(
      {
        name: header.name,
        type: header.type,
        mode: header.mode,
        uid: header.uid,
        gid: header.gid,
        mtime: header.mtime,
        sizeBytes: header.size,
        linkName: linkNameOf(header),
      },
      { layer, entry },
      { hasWhiteouts },
    );
  }
  return tree;
}

/** null where there is none, which its type declarations leave out. */
const linkNameOf = ({ linkname }: { linkname: string | null }): string => linkname ?? '';

type PlacedEntry = TarEntry & { layer: number; entry: number };

async function* entriesOf(name: string, { layers }: ContainerArchive): AsyncGenerator<PlacedEntry> {
  let leftBytes = IMPORT_UNPACKED_BYTES;
  for (const [layer, { part, digest, unpackedDigest }] of layers.entries()) {
    const stages = await openPart(name, part, { limitBytes: leftBytes, digest, unpackedDigest });
    if ((digest ?? unpackedDigest) !== undefined) stages.push(endingTar());
    let entry = 0;
    for await (const { header, content } of readTar(name, stages)) {
      if (!isSound(header)) throw notUsable(name, 'an entry of it has numbers that are none');
      leftBytes -= header.size;
      if (leftBytes < 0) throw notUsable(name, 'it unpacks to more than 32 GiB');
      yield { header, content, layer, entry };
      entry += 1;
    }
  }
}

const isSound = ({ size, mode, uid, gid, mtime }: Header): boolean =>
  [size, mode, uid, gid].every((one) => Number.isSafeInteger(one) && one >= 0) &&
  Number.isFinite(mtime.getTime());

/** Bytes of the files of a tree, hard links counted once. */
export function sizeOfTree(tree: LayerTree): number {
  const files = new Set<FileNode>();
  for (const [, node] of tree.paths()) if (node.kind === 'file') files.add(node);
  return [...files].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

/** Writes what is in the tree; its files' bytes come from the archive it was read from. */
export async function writeTree(
  name: string,
  archive: ContainerArchive,
  tree: LayerTree,
  target: string,
): Promise<void> {
  const packing = pack();
  const written = pipeline(
    packing as unknown as Readable,
    createWriteStream(target, { mode: 0o600 }),
  );
  written.catch(() => {}); // awaited below
  const headers = new HeaderWriter(packing);
  const firstNames = new Map<FileNode, string>();
  const hardLinks: [path: string, to: string, node: FileNode][] = [];
  const links: [path: string, target: string, node: TreeNode][] = [];
  for (const [path, node] of tree.paths()) {
    if (node.kind === 'directory')
      await headers.write({ ...headerOf(`${path}/`, node), type: 'directory' });
    else if (node.kind === 'link') links.push([path, node.target, node]);
    else if (firstNames.has(node)) hardLinks.push([path, firstNames.get(node) ?? '', node]);
    else firstNames.set(node, path);
  }
  const wanted = new Map<string, [path: string, node: FileNode]>();
  for (const [node, path] of firstNames) wanted.set(`${node.layer}:${node.entry}`, [path, node]);
  for await (const { content, layer, entry } of entriesOf(name, archive)) {
    const [path, node] = wanted.get(`${layer}:${entry}`) ?? [];
    if (path === undefined || node === undefined) continue;
    const sink = packing.entry({ ...headerOf(path, node), type: 'file', size: node.sizeBytes });
    await pipeline(content, sink as unknown as Writable);
    wanted.delete(`${layer}:${entry}`);
  }
  if (wanted.size > 0) throw notUsable(name, 'it changed while it was read');
  for (const [path, linkname, node] of hardLinks) {
    await headers.write({ ...headerOf(path, node), type: 'link', linkname });
  }
  for (const [path, linkname, node] of links) {
    await headers.write({ ...headerOf(path, node), type: 'symlink', linkname });
  }
  packing.finalize();
  await written;
}

/** Owners above this number do not fit into the six octal digits of a plain header. */
const LARGEST_PLAIN_ID = 0o777777;
/** Beyond the permissions, and not written: no permissions at all would count as "not said". */
const SAID = 0o100000;

function headerOf(name: string, { mode, uid, gid, mtime }: TreeNode) {
  const isLarge = Math.max(uid, gid) > LARGEST_PLAIN_ID;
  const pax = isLarge ? { pax: { uid: String(uid), gid: String(gid) } } : {};
  return { name, mode: mode | SAID, uid, gid, mtime, ...pax };
}

/** Entries without content; waits now and then until what was packed is written. */
class HeaderWriter {
  readonly #packing: Pack;
  #count = 0;

  constructor(packing: Pack) {
    this.#packing = packing;
  }

  async write(header: Parameters<Pack['entry']>[0]): Promise<void> {
    this.#packing.entry(header);
    this.#count += 1;
    if (this.#count % HEADERS_AT_A_TIME === 0) await nextTurn();
  }
}
