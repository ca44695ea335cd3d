/**
 * What an archive is, and its layers in order: an OCI image layout in a tar (`oci-archive`; image-spec
 * 1.1), what `docker save` writes, or the tar of one root file system. Each document and layer is
 * found by its digest and read only with it; of several platforms the one of the guest is taken.
 */
import { IMPORT_INDEX_DEPTH, IMPORT_LAYERS } from '../limits.ts';
import { ArchiveFile, isDigest, notUsable, type Digest, type FilePart } from './archive-file.ts';

export interface Layer {
  part: FilePart;
  /** Of the bytes as they lie in the archive; undefined: nothing says it. */
  digest: Digest | undefined;
  /** Of the tar that they unpack to. */
  unpackedDigest: Digest | undefined;
}

export interface ContainerArchive {
  kind: 'oci' | 'docker' | 'root';
  layers: Layer[];
  /** What the archive calls the image, where it does. */
  reference: string | undefined;
}

type Fields = Record<string, unknown>;

/** Any of these is in every root file system, at its top. */
const ROOT_ENTRIES = ['etc', 'usr', 'bin'];

export async function readContainerArchive(archive: ArchiveFile): Promise<ContainerArchive> {
  if (archive.entries.has('oci-layout')) return await readOciLayout(archive);
  if (archive.entries.has('manifest.json') && !isRoot(archive))
    return await readDockerSave(archive);
  if (!isRoot(archive)) {
    throw notUsable(
      archive.name,
      'it is no OCI archive (oci-layout), no output of `docker save` (manifest.json) and no root file ' +
        'system (etc, usr, bin at its top)',
    );
  }
  const layer = { part: archive.part, digest: undefined, unpackedDigest: undefined };
  return { kind: 'root', layers: [layer], reference: undefined };
}

function isRoot(archive: ArchiveFile): boolean {
  const tops = new Set([...archive.entries.keys()].map((name) => name.split('/')[0] ?? ''));
  return ROOT_ENTRIES.some((name) => tops.has(name));
}

async function readOciLayout(archive: ArchiveFile): Promise<ContainerArchive> {
  const fail = (what: string): never => {
    throw notUsable(archive.name, what);
  };
  const found = await findManifests(archive, fieldsOf(await archive.document('index.json')), 1);
  const [first, second] = found;
  if (first === undefined) return fail('it has no image for linux/amd64');
  if (second !== undefined) {
    const names = found.map(({ reference }) => reference ?? 'one without a name').join(', ');
    return fail(`it holds ${found.length} images (${names}); make an archive of one`);
  }
  const { manifest, reference } = first;
  const { digest } = descriptorOf(archive, manifest['config']);
  const config = fieldsOf(await blobDocument(archive, digest));
  const descriptors = listOf(manifest['layers']).map((one) => descriptorOf(archive, one));
  const unpacked = unpackedDigests(archive, config, descriptors.length);
  const layers = descriptors.map((one, at): Layer => {
    if (one.mediaType.includes('encrypted')) return fail('a layer of it is encrypted');
    const part = archive.find(blobPath(one.digest));
    if (part === undefined) return fail(`its layer ${one.digest} is not in it`);
    if (part.sizeBytes !== one.size) return fail(`its layer ${one.digest} has another size`);
    return { part, digest: one.digest, unpackedDigest: unpacked[at] };
  });
  return { kind: 'oci', layers, reference };
}

type Found = { manifest: Fields; reference: string | undefined };

/** Images of the guest's platform in an index, and in those that it names. */
async function findManifests(archive: ArchiveFile, index: Fields, depth: number): Promise<Found[]> {
  if (depth > IMPORT_INDEX_DEPTH) throw notUsable(archive.name, 'its indexes have no end');
  const found: Found[] = [];
  for (const value of listOf(index['manifests'])) {
    const { digest, platform, annotations } = descriptorOf(archive, value);
    const isOther =
      platform !== undefined &&
      (platform['os'] !== 'linux' || platform['architecture'] !== 'amd64');
    if (isOther || archive.find(blobPath(digest)) === undefined) continue;
    const document = fieldsOf(await blobDocument(archive, digest));
    const name = annotations?.['org.opencontainers.image.ref.name'];
    const reference = typeof name === 'string' ? name : undefined;
    if (Array.isArray(document['manifests'])) {
      const inner = await findManifests(archive, document, depth + 1);
      found.push(...inner.map((one) => ({ ...one, reference: one.reference ?? reference })));
    } else {
      found.push({ manifest: document, reference });
    }
    if (found.length > IMPORT_LAYERS) throw notUsable(archive.name, 'it holds too many images');
  }
  return found;
}

async function readDockerSave(archive: ArchiveFile): Promise<ContainerArchive> {
  const fail = (what: string): never => {
    throw notUsable(archive.name, what);
  };
  const images = listOf(await archive.document('manifest.json'));
  if (images.length !== 1) return fail(`it holds ${images.length} images; save one`);
  const { Config: configPath, Layers: layerPaths, RepoTags: tags } = fieldsOf(images[0]);
  // its name is its digest: `<hex>.json`, or since Docker 25 `blobs/sha256/<hex>`
  const [, hex] = /^(?:blobs\/sha256\/)?([0-9a-f]{64})(?:\.json)?$/.exec(String(configPath)) ?? [];
  if (hex === undefined) return fail('its configuration is not named by a digest');
  const config = fieldsOf(await archive.document(String(configPath), `sha256:${hex}`));
  const paths = listOf(layerPaths).map(String);
  const unpacked = unpackedDigests(archive, config, paths.length);
  const layers = paths.map((path, at): Layer => {
    const part = archive.find(path);
    if (part === undefined) return fail(`its layer ${path.slice(0, 100)} is not in it`);
    return { part, digest: undefined, unpackedDigest: unpacked[at] };
  });
  const [tag] = listOf(tags);
  return { kind: 'docker', layers, reference: typeof tag === 'string' ? tag : undefined };
}

/** The digests of the unpacked layers, which the configuration lists; checks what it is for, too. */
function unpackedDigests(archive: ArchiveFile, config: Fields, layers: number): Digest[] {
  const { architecture, os, rootfs } = config;
  if (os !== 'linux' || architecture !== 'amd64') {
    const platform = [os, architecture].map((one) => String(one).slice(0, 40)).join('/');
    throw notUsable(archive.name, `it is for ${platform}, and guests are linux/amd64`);
  }
  const digests = listOf(fieldsOf(rootfs)['diff_ids']);
  if (layers === 0 || layers > IMPORT_LAYERS) {
    throw notUsable(archive.name, `it has ${layers} layers, and 1 to ${IMPORT_LAYERS} can be used`);
  }
  if (digests.length !== layers || !digests.every(isDigest)) {
    throw notUsable(archive.name, 'its configuration does not name its layers by their digests');
  }
  return digests;
}

interface Descriptor {
  mediaType: string;
  digest: Digest;
  size: number;
  platform: Fields | undefined;
  annotations: Fields | undefined;
}

function descriptorOf(archive: ArchiveFile, value: unknown): Descriptor {
  const { mediaType, digest, size, platform, annotations } = fieldsOf(value);
  if (!isDigest(digest) || typeof size !== 'number') {
    throw notUsable(archive.name, 'a part of it is not named by digest and size');
  }
  return {
    mediaType: typeof mediaType === 'string' ? mediaType : '',
    digest,
    size,
    platform: platform === undefined ? undefined : fieldsOf(platform),
    annotations: annotations === undefined ? undefined : fieldsOf(annotations),
  };
}

const blobPath = (digest: Digest): string => `blobs/${digest.replace(':', '/')}`;

const blobDocument = async (archive: ArchiveFile, digest: Digest): Promise<unknown> =>
  await archive.document(blobPath(digest), digest);

const fieldsOf = (value: unknown): Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Fields) : {};

const listOf = (value: unknown): unknown[] => (Array.isArray(value) ? value : []);
