/**
 * Finds Debian's own archive of the guest's release in the host's apt sources, so that a mirror or a
 * local proxy the administrator chose is used, and nothing else: third-party archives on the host
 * never reach the guest. An entry counts when its suite is the release, its updates or its security
 * updates, it offers `main`, and it is signed by Debian's archive key (or names no key: then
 * Debian's is demanded). Reads both formats of sources.list(5): deb822 `.sources`, one-line `.list`.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ImageError } from './errors.ts';
import { MIRROR_LIST_BYTES } from './limits.ts';
import { RELEASE } from './recipe.ts';

/** One archive: an address, a suite of it, component `main`. */
export interface DebianArchive {
  uri: string;
  suite: string;
  /** False when the host switched the check of the index's expiry off (snapshot mirrors need it). */
  checkValidUntil: boolean;
}

interface SourceEntry {
  types: string[];
  uris: string[];
  suites: string[];
  components: string[];
  options: Map<string, string>;
}

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg';
const SUITES = [RELEASE, `${RELEASE}-updates`, `${RELEASE}-security`];

/** Reads the host's sources below `aptDirectory` (`/etc/apt`); fails when the release is missing. */
export async function readDebianArchives(aptDirectory: string): Promise<DebianArchive[]> {
  const entries: SourceEntry[] = [];
  for (const path of await sourceFiles(aptDirectory)) {
    const text = await readFile(path, 'utf8');
    entries.push(...(path.endsWith('.sources') ? parseDeb822(text) : parseOneLine(text)));
  }
  const archives = await Promise.all(selectDebian(entries).map(resolveMirrorList));
  if (!archives.some((archive) => archive.suite === RELEASE)) {
    throw new ImageError(
      'image_build_failed',
      `step resolve: no Debian ${RELEASE} archive (component main, signed by Debian's archive key) ` +
        `in the apt sources below ${aptDirectory}; the guest is built from the host's own sources, ` +
        `so add one for "${RELEASE} main" there and try again`,
    );
  }
  return archives;
}

async function sourceFiles(aptDirectory: string): Promise<string[]> {
  const partsDirectory = join(aptDirectory, 'sources.list.d');
  const parts = await readdir(partsDirectory).catch(() => []);
  const paths = parts
    .filter((name) => /^[\w.-]+\.(list|sources)$/.test(name))
    .toSorted()
    .map((name) => join(partsDirectory, name));
  const main = join(aptDirectory, 'sources.list');
  const hasMain = await stat(main).then(
    (found) => found.isFile(),
    () => false,
  );
  return hasMain ? [main, ...paths] : paths;
}

/** `deb [option=value ...] uri suite component...` */
export function parseOneLine(text: string): SourceEntry[] {
  const entries: SourceEntry[] = [];
  for (const raw of text.split('\n')) {
    const line = raw.replace(/#.*/, '').trim();
    const match = /^(deb|deb-src)\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*)$/.exec(line);
    if (match === null) continue;
    const [, type = '', optionText = '', uri = '', suite = '', components = ''] = match;
    const options = new Map<string, string>();
    for (const option of words(optionText)) {
      const [name = '', ...value] = option.split('=');
      options.set(name.toLowerCase().replace(/\+$/, ''), value.join('='));
    }
    entries.push({
      types: [type],
      uris: [uri],
      suites: [suite],
      components: words(components),
      options,
    });
  }
  return entries;
}

/** Stanzas of `Field: value`, continued by indented lines, separated by empty ones. */
export function parseDeb822(text: string): SourceEntry[] {
  const entries: SourceEntry[] = [];
  const lines = text.split('\n').filter((line) => !line.startsWith('#'));
  for (const stanza of lines.join('\n').split(/\n\s*\n/)) {
    const fields = new Map<string, string>();
    let last = '';
    for (const line of stanza.split('\n')) {
      const field = /^([A-Za-z][A-Za-z0-9-]*):(.*)$/.exec(line);
      if (field !== null) {
        last = (field[1] ?? '').toLowerCase();
        fields.set(last, (field[2] ?? '').trim());
      } else if (/^\s/.test(line) && last !== '') {
        fields.set(last, `${fields.get(last) ?? ''}\n${line.trim()}`.trim());
      }
    }
    if (!fields.has('uris') || fields.get('enabled') === 'no') continue;
    entries.push({
      types: words(fields.get('types') ?? ''),
      uris: words(fields.get('uris') ?? ''),
      suites: words(fields.get('suites') ?? ''),
      components: words(fields.get('components') ?? ''),
      options: new Map([...fields].map(([name, value]) => [OPTION_NAMES.get(name) ?? name, value])),
    });
  }
  return entries;
}

/** deb822 field -> name of the same option in a one-line entry. */
const OPTION_NAMES = new Map([['architectures', 'arch']]);

export function selectDebian(entries: readonly SourceEntry[]): DebianArchive[] {
  const found = new Map<string, DebianArchive>();
  for (const entry of entries) {
    const architectures = words((entry.options.get('arch') ?? 'amd64').replaceAll(',', ' '));
    const isOurs =
      entry.types.includes('deb') &&
      entry.components.includes('main') &&
      architectures.includes('amd64') &&
      isSignedByDebian(entry.options.get('signed-by'));
    if (!isOurs) continue;
    const checkValidUntil = entry.options.get('check-valid-until') !== 'no';
    for (const uri of entry.uris.filter((one) => !one.startsWith('cdrom:'))) {
      for (const suite of entry.suites.filter((one) => SUITES.includes(one))) {
        const key = `${uri.replace(/\/+$/, '')} ${suite}`;
        if (!found.has(key)) found.set(key, { uri, suite, checkValidUntil });
      }
    }
  }
  return [...found.values()];
}

function isSignedByDebian(signedBy: string | undefined): boolean {
  if (signedBy === undefined || signedBy.trim() === '') return true;
  return words(signedBy.replaceAll(',', ' ')).every((path) =>
    /\/debian-archive[^/]*\.(gpg|pgp|asc)$/.test(path),
  );
}

/** `mirror+file:LIST` names a file of addresses (Debian's cloud images have one): takes its first. */
async function resolveMirrorList(archive: DebianArchive): Promise<DebianArchive> {
  const match = /^mirror\+file:(?:\/\/)?(\/.*)$/.exec(archive.uri);
  if (match === null) return archive;
  const path = match[1] ?? '';
  const list = await readFile(path, 'utf8').catch((cause: unknown) => {
    const why = `step resolve: the apt sources name the mirror list ${path}, which cannot be read`;
    throw new ImageError('image_build_failed', why, { cause });
  });
  const lines = list.slice(0, MIRROR_LIST_BYTES).split('\n');
  const first = lines.map((line) => line.trim()).find((line) => /^[a-z]+:/.test(line));
  return first === undefined ? archive : { ...archive, uri: first.split(/\s/)[0] ?? archive.uri };
}

/** deb822 text of these archives, each demanding Debian's archive key. */
export function formatSources(archives: readonly DebianArchive[]): string {
  return archives
    .map(({ uri, suite, checkValidUntil }) => {
      const stanza = `Types: deb\nURIs: ${uri}\nSuites: ${suite}\nComponents: main\nSigned-By: ${KEYRING}\n`;
      return checkValidUntil ? stanza : `${stanza}Check-Valid-Until: no\n`;
    })
    .join('\n');
}

/** The archives as the guest may know them: reachable by HTTP, and without the host's passwords. */
export function archivesForGuest(archives: readonly DebianArchive[]): DebianArchive[] {
  return archives.flatMap((archive) => {
    if (!URL.canParse(archive.uri)) return [];
    const url = new URL(archive.uri);
    if (url.protocol !== 'http:' && url.protocol !== 'https:') return [];
    url.username = '';
    url.password = '';
    return [{ ...archive, uri: url.href }];
  });
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== '');
}
