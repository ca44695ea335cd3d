/**
 * Mirrors of actions for the tests, as an operator would lay them out: plain files below
 * `owner/repository@ref`. Those of `made/` are bundled as their authors would do it; published ones are
 * copied as npm has them, with the packages they need beside them.
 */
import { cpSync, existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { build } from 'esbuild';

const MADE = join(import.meta.dirname, 'made');
const PUBLISHED = join(import.meta.dirname, 'published');

const isSource = (path: string): boolean => path.endsWith('.ts');

const AS_ONE_FILE = {
  bundle: true,
  platform: 'node',
  target: 'node20',
  format: 'cjs',
  logLevel: 'error',
} as const;

/** `acme/<name>@v1` of every action of `made/`. */
export async function bundleMade(mirror: string): Promise<void> {
  const entryPoints: Record<string, string> = {};
  for (const name of readdirSync(MADE)) {
    const source = join(MADE, name);
    const target = join('acme', `${name}@v1`);
    cpSync(source, join(mirror, target), { recursive: true, filter: (path) => !isSource(path) });
    for (const file of readdirSync(source).filter(isSource)) {
      entryPoints[join(target, 'dist', basename(file, '.ts'))] = join(source, file);
    }
  }
  await build({ ...AS_ONE_FILE, entryPoints, outdir: mirror });
}

/** Where the files of an npm package are that a file below `from` imports. */
function findPackage(name: string, from: string): string {
  for (let at = from; at !== dirname(at); at = dirname(at)) {
    const found = join(at, 'node_modules', name);
    if (existsSync(found)) return found;
  }
  throw new Error(`the npm package ${name} is not there: run npm install`);
}

const ownFiles =
  (source: string) =>
  (path: string): boolean =>
    path !== join(source, 'node_modules');

type Placed = { source: string; target: string };

/** Copies what a package needs below the first directory that has no other version of it. */
function copyNeeded(needed: readonly string[], { source, target }: Placed, roots: string[]): void {
  for (const name of needed) {
    const found = findPackage(name, source);
    const placed = [...roots, target].map((root) => join(root, 'node_modules', name));
    const place = placed.find((one) => !existsSync(one) || versionOf(one) === versionOf(found));
    if (place === undefined) throw new Error(`no place for ${name} below ${target}`);
    if (existsSync(place)) continue;
    cpSync(found, place, { recursive: true, filter: ownFiles(found) });
    const { dependencies = {} } = manifestOf(found);
    copyNeeded(Object.keys(dependencies), { source: found, target: place }, roots);
  }
}

type Manifest = { version: string; dependencies?: Record<string, string> };
const manifestOf = (directory: string): Manifest =>
  JSON.parse(readFileSync(join(directory, 'package.json'), 'utf8')) as Manifest;
const versionOf = (directory: string): string => manifestOf(directory).version;

/** The published actions, each under the name that its authors give in their documentation. */
export async function copyPublished(mirror: string): Promise<void> {
  const pages = {
    source: findPackage('@jamesives/github-pages-deploy-action', PUBLISHED),
    target: join(mirror, 'JamesIves', 'github-pages-deploy-action@v4'),
  };
  cpSync(pages.source, pages.target, { recursive: true, filter: ownFiles(pages.source) });
  const toolkit = ['core', 'exec', 'github', 'io'].map((name) => `@actions/${name}`);
  copyNeeded(toolkit, pages, [pages.target]);
  const vulnerable = join(mirror, 'RafaelGSS', 'is-my-node-vulnerable@v1');
  const source = findPackage('is-my-node-vulnerable', PUBLISHED);
  cpSync(source, vulnerable, { recursive: true, filter: ownFiles(source) });
  // Its package holds the code of the action; metadata and bundle are only in its repository.
  const publish = join(mirror, 'JS-DevTools', 'npm-publish@v4');
  cpSync(join(PUBLISHED, 'npm-publish', 'action.yaml'), join(publish, 'action.yaml'));
  const main = join(findPackage('@jsdevtools/npm-publish', PUBLISHED), 'lib/action/main.js');
  const contents = `import { main } from ${JSON.stringify(main)}; void main();`;
  const stdin = { contents, resolveDir: dirname(main) };
  await build({ ...AS_ONE_FILE, stdin, outfile: join(publish, 'action.js') });
}
