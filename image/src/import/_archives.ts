/** Archives for tests, made entry by entry: OCI layouts, `docker save` and root file systems. */
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { buffer } from 'node:stream/consumers';
import { gzipSync, zstdCompressSync } from 'node:zlib';
import { pack, type Header } from 'tar-stream';

export type Entry = Partial<Header> & { name: string; content?: string | Buffer };

export async function makeTar(entries: readonly Entry[]): Promise<Buffer> {
  const packing = pack();
  for (const { content, ...header } of entries) {
    const type = header.type ?? (header.name.endsWith('/') ? 'directory' : 'file');
    packing.entry({ mtime: new Date(0), ...header, type }, content ?? '');
  }
  packing.finalize();
  return await buffer(packing);
}

const hexOf = (content: string | Buffer): string =>
  createHash('sha256').update(content).digest('hex');

type Packing = 'none' | 'gzip' | 'zstd';

const packed = (tar: Buffer, packing: Packing): Buffer =>
  packing === 'gzip' ? gzipSync(tar) : packing === 'zstd' ? zstdCompressSync(tar) : tar;

export interface LayoutOptions {
  packing?: Packing;
  architecture?: string;
  /** Changes documents or blobs before they are stored; their names stay as they were. */
  spoil?: (name: string, content: Buffer) => Buffer;
  /** Written into the configuration instead of what the layers really are. */
  diffIds?: string[];
}

/** An OCI image layout of these layers, in a tar. */
export async function makeOciArchive(
  path: string,
  layers: readonly (readonly Entry[])[],
  options: LayoutOptions = {},
): Promise<string> {
  const { packing = 'gzip', architecture = 'amd64', spoil = (_, content) => content } = options;
  const files = new Map<string, Buffer>();
  const store = (content: string | Buffer, mediaType: string) => {
    const hex = hexOf(content);
    files.set(`blobs/sha256/${hex}`, Buffer.from(content));
    return { mediaType, digest: `sha256:${hex}`, size: Buffer.byteLength(content) };
  };
  const tars = await Promise.all(layers.map(makeTar));
  const type = 'application/vnd.oci.image';
  const suffix = packing === 'none' ? '' : `+${packing}`;
  const blobs = tars.map((tar) => store(packed(tar, packing), `${type}.layer.v1.tar${suffix}`));
  const diffIds = options.diffIds ?? tars.map((tar) => `sha256:${hexOf(tar)}`);
  const rootfs = { type: 'layers', diff_ids: diffIds };
  const config = store(
    JSON.stringify({ architecture, os: 'linux', rootfs }),
    `${type}.config.v1+json`,
  );
  const manifest = store(
    JSON.stringify({ schemaVersion: 2, config, layers: blobs }),
    `${type}.manifest.v1+json`,
  );
  const annotations = { 'org.opencontainers.image.ref.name': 'registry.test/team/tools:1.2' };
  const index = { schemaVersion: 2, manifests: [{ ...manifest, annotations }] };
  files.set('oci-layout', Buffer.from('{"imageLayoutVersion":"1.0.0"}'));
  files.set('index.json', Buffer.from(JSON.stringify(index)));
  const entries = [...files].map(([name, content]) => ({ name, content: spoil(name, content) }));
  await writeFile(path, await makeTar(entries));
  return path;
}

/** What `docker save` wrote before version 25: a directory a layer, one of them as a link. */
export async function makeDockerArchive(
  path: string,
  layers: readonly (readonly Entry[])[],
): Promise<string> {
  const tars = await Promise.all(layers.map(makeTar));
  const rootfs = { type: 'layers', diff_ids: tars.map((tar) => `sha256:${hexOf(tar)}`) };
  const config = JSON.stringify({ architecture: 'amd64', os: 'linux', rootfs });
  const configName = `${hexOf(config)}.json`;
  const paths = tars.map((_, at) => `${String(at).repeat(64)}/layer.tar`);
  const firstWith = (tar: Buffer): number => tars.findIndex((one) => one.equals(tar));
  const manifest = [{ Config: configName, RepoTags: ['tools:1.2'], Layers: paths }];
  const entries: Entry[] = [
    { name: configName, content: config },
    { name: 'manifest.json', content: JSON.stringify(manifest) },
    ...tars.map((tar, at): Entry => {
      const first = firstWith(tar);
      const name = paths[at] ?? '';
      if (first === at) return { name, content: tar };
      return { name, type: 'symlink', linkname: `../${paths[first]}` };
    }),
  ];
  await writeFile(path, await makeTar(entries));
  return path;
}
