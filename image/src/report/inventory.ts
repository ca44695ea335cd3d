/**
 * What is installed in an image, as its own files say: Debian packages with the source packages they
 * were built from (that is what Debian's security data is about), and npm packages. What an image does
 * not say is `undefined`, which is not the same as nothing.
 */
import { INVENTORY_FILE_BYTES, NPM_PACKAGE_FILES } from '../limits.ts';
import { ErofsImage } from './erofs-file.ts';

export interface DebianPackage {
  name: string;
  version: string;
  source: string;
  sourceVersion: string;
  architecture: string;
}

export interface NpmPackage {
  name: string;
  version: string;
  /** Its directory in the image. */
  path: string;
}

export interface Inventory {
  /** `ID` and `VERSION_CODENAME` of os-release(5). */
  system: string | undefined;
  release: string | undefined;
  /** undefined: the image has no list of Debian packages. */
  debian: DebianPackage[] | undefined;
  npm: NpmPackage[];
}

/** Where installations have global packages: Node's own place and Debian's. */
const NPM_ROOTS = ['usr/local/lib/node_modules', 'usr/lib/node_modules', 'usr/share/nodejs'];

export async function readInventory(rootPath: string): Promise<Inventory> {
  await using image = await ErofsImage.open(rootPath);
  const text = async (path: string): Promise<string | undefined> =>
    (await image.readFile(path, INVENTORY_FILE_BYTES))?.toString();
  const system = parseOsRelease((await text('etc/os-release')) ?? '');
  const status = await text('var/lib/dpkg/status');
  // images without dpkg itself keep a file for each package ("distroless")
  const parts = (await image.list('var/lib/dpkg/status.d')).filter((name) => !name.includes('.'));
  const stanzas = await Promise.all(
    parts.map(async (name) => (await text(`var/lib/dpkg/status.d/${name}`)) ?? ''),
  );
  const hasList = status !== undefined || stanzas.length > 0;
  return {
    system: system.get('ID'),
    release: system.get('VERSION_CODENAME'),
    debian: hasList ? parseDpkgStatus([status ?? '', ...stanzas].join('\n\n')) : undefined,
    npm: await listNpmPackages(image),
  };
}

/** Installed packages of a dpkg database (dpkg(1), deb-control(5)), by name. */
export function parseDpkgStatus(text: string): DebianPackage[] {
  const found = text.split(/\n\s*\n/).flatMap((stanza): DebianPackage[] => {
    const fields = new Map(
      [...stanza.matchAll(/^([A-Za-z-]+):[ \t]*(.*)$/gm)].map(([, name = '', value = '']) => [
        name.toLowerCase(),
        value.trim(),
      ]),
    );
    const [name, version] = [fields.get('package'), fields.get('version')];
    const status = fields.get('status') ?? 'install ok installed';
    if (name === undefined || version === undefined || !/\sinstalled$/.test(status)) return [];
    // `Source: name (version)`: the version only where it is another one
    const [, source = name, sourceVersion = version] =
      /^(\S+)(?: \((\S+)\))?$/.exec(fields.get('source') ?? '') ?? [];
    const architecture = fields.get('architecture') ?? 'unknown';
    return [{ name, version, source, sourceVersion, architecture }];
  });
  return found.toSorted((a, b) => (a.name < b.name ? -1 : 1));
}

function parseOsRelease(text: string): Map<string, string> {
  return new Map(
    [...text.matchAll(/^([A-Z_]+)=(["']?)(.*)\2$/gm)].map(([, key = '', , value = '']) => [
      key,
      value,
    ]),
  );
}

async function listNpmPackages(image: ErofsImage): Promise<NpmPackage[]> {
  const found: NpmPackage[] = [];
  const seen = new Set<string>();
  const queue = [...NPM_ROOTS];
  for (const root of queue) {
    for (const name of await image.list(root)) {
      if (found.length >= NPM_PACKAGE_FILES) return found;
      if (name.startsWith('.') || seen.has(`${root}/${name}`)) continue;
      seen.add(`${root}/${name}`);
      const path = `${root}/${name}`;
      if (name.startsWith('@')) {
        queue.push(path);
        continue;
      }
      const manifest = await image.readFile(`${path}/package.json`, INVENTORY_FILE_BYTES);
      if (manifest === undefined) continue;
      found.push(...parseManifest(manifest.toString(), path));
      queue.push(`${path}/node_modules`);
    }
  }
  return found;
}

function parseManifest(text: string, path: string): NpmPackage[] {
  try {
    const { name, version } = JSON.parse(text) as { name?: unknown; version?: unknown };
    if (typeof name !== 'string' || typeof version !== 'string') return [];
    return [{ name, version, path: `/${path}` }];
  } catch {
    return []; // no package, whatever it is
  }
}
