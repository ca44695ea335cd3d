/**
 * A package `greeting` 1.0.0 for each client, with its site: the paths that the client asks for, by the
 * documentation of its protocol.
 */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { makeCheckout } from '@onejob/testing';
import { commitIn, gitIn } from '@onejob/testing/git-backend';

type SiteFile = { content: string | Buffer; type: string; fields?: Record<string, string> };
/** By path; or the directory of git's repositories. */
export type Site = ReadonlyMap<string, SiteFile> | string;

type Files = Readonly<Record<string, string>>;
type UrlOf = (site: string) => string;

const text = (content: string): SiteFile => ({ content, type: 'text/plain' });
const html = (content: string): SiteFile => ({ content, type: 'text/html' });
const json = (value: unknown): SiteFile => ({
  content: JSON.stringify(value),
  type: 'application/json',
});
const data = (content: Buffer): SiteFile => ({ content, type: 'application/octet-stream' });
const sha256 = (content: Buffer | string): string =>
  createHash('sha256').update(content).digest('hex');

/** By the name of each site. @param directory for what is made here */
export async function packageSites(
  directory: string,
  urlOf: UrlOf,
): Promise<ReadonlyMap<string, Site>> {
  const crate = await packFiles('tar.gz', 'greeting-1.0.0/', {
    'Cargo.toml': '[package]\nname = "greeting"\nversion = "1.0.0"\nedition = "2021"\n',
    'src/lib.rs': 'pub fn greeting() -> &\'static str {\n    "cargo says hello"\n}\n',
  });
  return new Map<string, Site>([
    ['git', gitSite(join(directory, 'repositories'), crate, urlOf)],
    ['files', new Map([['/greeting.txt', text('curl says hello\n')]])],
    ['apt', aptSite(join(directory, 'apt'))],
    ['pip', await pipSite()],
    ['npm', await npmSite(urlOf)],
    ['go', await goSite()],
    ['cargo', new Map([['/crates/greeting/1.0.0/download', data(crate)]])],
    ['images', imageSite(directory)],
  ]);
}

/** git packs archives of every format that is needed here, with nothing in them but the files. */
async function packFiles(format: 'zip' | 'tar.gz', prefix: string, files: Files): Promise<Buffer> {
  await using checkout = makeCheckout(files);
  const path = join(checkout.directory, '.git', `packed.${format}`);
  checkout.git('archive', '-o', path, `--prefix=${prefix}`, 'HEAD^{tree}');
  return readFileSync(path);
}

/**
 * A repository to clone, and cargo's index: https://doc.rust-lang.org/cargo/reference/registry-index.html
 */
function gitSite(root: string, crate: Buffer, urlOf: UrlOf): string {
  const line = { name: 'greeting', vers: '1.0.0', deps: [], features: {}, yanked: false };
  const repositories: Readonly<Record<string, Files>> = {
    greeting: { 'greeting.txt': 'git says hello\n' },
    'cargo-index': {
      'config.json': JSON.stringify({ dl: `${urlOf('cargo')}/crates` }),
      'gr/ee/greeting': `${JSON.stringify({ ...line, cksum: sha256(crate) })}\n`,
    },
  };
  for (const [name, files] of Object.entries(repositories)) {
    const directory = join(root, name);
    mkdirSync(directory, { recursive: true });
    gitIn(directory, 'init', '--quiet', '--initial-branch=main');
    commitIn(directory, files);
  }
  return root;
}

/** A flat repository: https://wiki.debian.org/DebianRepository/Format */
function aptSite(directory: string): Site {
  const control = 'Package: greeting\nVersion: 1.0.0\nArchitecture: all\nMaintainer: nobody\n';
  const files: Files = {
    'DEBIAN/control': `${control}Description: says hello\n`,
    'usr/share/greeting.txt': 'apt says hello\n',
  };
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), content);
  }
  const path = `${directory}.deb`;
  const words = ['--build', '--root-owner-group', directory, path];
  execFileSync('dpkg-deb', words, { stdio: ['ignore', 'ignore', 'pipe'] });
  const deb = readFileSync(path);
  const where = `Filename: ./greeting.deb\nSize: ${deb.length}\nSHA256: ${sha256(deb)}\n`;
  const packages = `${control}${where}Description: says hello\n`;
  const release = `Date: ${new Date().toUTCString()}\nSHA256:\n ${sha256(packages)} ${packages.length} Packages\n`;
  return new Map([
    ['/Release', text(release)],
    ['/Packages', text(packages)],
    ['/greeting.deb', data(deb)],
  ]);
}

/** https://packaging.python.org/en/latest/specifications/simple-repository-api/ */
async function pipSite(): Promise<Site> {
  const about = 'greeting-1.0.0.dist-info';
  const names = ['greeting.py', `${about}/METADATA`, `${about}/WHEEL`, `${about}/RECORD`];
  const wheel = await packFiles('zip', '', {
    'greeting.py': 'greeting = "pip says hello"\n',
    [`${about}/METADATA`]: 'Metadata-Version: 2.1\nName: greeting\nVersion: 1.0.0\n',
    [`${about}/WHEEL`]:
      'Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n',
    [`${about}/RECORD`]: names.map((name) => `${name},,\n`).join(''),
  });
  const file = 'greeting-1.0.0-py3-none-any.whl';
  const link = `<a href="/files/${file}#sha256=${sha256(wheel)}">${file}</a>`;
  return new Map([
    ['/simple/greeting/', html(`<!DOCTYPE html><html><body>${link}</body></html>`)],
    [`/files/${file}`, data(wheel)],
  ]);
}

/** https://github.com/npm/registry/blob/main/docs/REGISTRY-API.md */
async function npmSite(urlOf: UrlOf): Promise<Site> {
  const about = { name: 'greeting', version: '1.0.0' };
  const packed = await packFiles('tar.gz', 'package/', {
    'package.json': JSON.stringify(about),
    'index.js': "module.exports = 'npm says hello';\n",
  });
  const integrity = `sha512-${createHash('sha512').update(packed).digest('base64')}`;
  const dist = { tarball: `${urlOf('npm')}/greeting/-/greeting-1.0.0.tgz`, integrity };
  const versions = { '1.0.0': { ...about, dist } };
  return new Map([
    ['/greeting', json({ name: 'greeting', 'dist-tags': { latest: '1.0.0' }, versions })],
    ['/greeting/-/greeting-1.0.0.tgz', data(packed)],
  ]);
}

/** https://go.dev/ref/mod#goproxy-protocol */
async function goSite(): Promise<Site> {
  const module = 'greeting.example/greeting';
  const mod = `module ${module}\n\ngo 1.19\n`;
  const zip = await packFiles('zip', `${module}@v1.0.0/`, {
    'go.mod': mod,
    'greeting.go': 'package greeting\n\nfunc Greeting() string { return "go says hello" }\n',
  });
  return new Map([
    [`/${module}/@v/list`, text('v1.0.0\n')],
    [`/${module}/@v/v1.0.0.info`, json({ Version: 'v1.0.0', Time: '2026-01-01T00:00:00Z' })],
    [`/${module}/@v/v1.0.0.mod`, text(mod)],
    [`/${module}/@v/v1.0.0.zip`, data(zip)],
  ]);
}

/**
 * An image of one program, and links to where a machine mounted into it has its own:
 * https://github.com/opencontainers/distribution-spec/blob/main/spec.md
 */
function imageSite(directory: string): Site {
  const root = join(directory, 'image');
  const source = join(directory, 'greeting.c');
  mkdirSync(root);
  writeFileSync(source, '#include <stdio.h>\nint main(void) { puts("docker says hello"); }\n');
  execFileSync('gcc', ['-static', '-Os', '-s', '-o', join(root, 'greeting'), source]);
  for (const name of ['bin', 'lib', 'lib64']) {
    execFileSync('ln', ['-s', `usr/${name}`, join(root, name)]);
  }
  const tar = execFileSync('tar', ['-c', '-C', root, '.'], { maxBuffer: 64 * 1024 * 1024 });
  const layer = gzipSync(tar);
  const config = JSON.stringify({
    architecture: 'amd64',
    os: 'linux',
    config: { Cmd: ['/greeting'], Env: ['PATH=/usr/bin:/bin'] },
    rootfs: { type: 'layers', diff_ids: [`sha256:${sha256(tar)}`] },
  });
  const type = 'application/vnd.docker.distribution.manifest.v2+json';
  const part = (mediaType: string, content: Buffer | string) => ({
    ...{ mediaType: `application/vnd.docker.${mediaType}`, size: Buffer.byteLength(content) },
    digest: `sha256:${sha256(content)}`,
  });
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: type,
    config: part('container.image.v1+json', config),
    layers: [part('image.rootfs.diff.tar.gzip', layer)],
  });
  const digest = `sha256:${sha256(manifest)}`;
  const described: SiteFile = {
    ...{ content: manifest, type },
    fields: { 'docker-content-digest': digest },
  };
  return new Map<string, SiteFile>([
    ['/v2/', { ...json({}), fields: { 'docker-distribution-api-version': 'registry/2.0' } }],
    ['/v2/greeting/manifests/1.0.0', described],
    [`/v2/greeting/manifests/${digest}`, described],
    [`/v2/greeting/blobs/sha256:${sha256(config)}`, data(Buffer.from(config))],
    [`/v2/greeting/blobs/sha256:${sha256(layer)}`, data(layer)],
  ]);
}
