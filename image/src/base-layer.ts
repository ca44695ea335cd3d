/**
 * The slow and rare layer: Debian packages as one tar, the kernel and its boot modules. Half a minute
 * to build; kept in `<cache>/bases/<key>/`. The key covers the package list, the archives and the
 * version that apt resolved for every package, kernel included. As long as nobody asks for newer
 * packages, a base with the same list and archives is used without asking the network.
 */
import { createHash } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { aptConfiguration, hostAcquireOptions, writeOptions } from './apt-configuration.ts';
import { formatSources, type DebianArchive } from './apt-sources.ts';
import { ImageError } from './errors.ts';
import { extractKernel } from './kernel.ts';
import { BASES_KEPT } from './limits.ts';
import { asRoot, type Privilege } from './privilege.ts';
import {
  BASE_REVISION,
  DPKG_OPTIONS,
  JOB_MODULES,
  KERNEL_META_PACKAGE,
  PACKAGES,
  RELEASE,
  SOURCE_DATE_EPOCH,
} from './recipe.ts';
import type { RunTool } from './tool.ts';

export interface BaseLayer {
  /** sha256 over the inputs and the resolved versions. */
  key: string;
  /** sha256 over what this checkout and this host ask for, before any resolution. */
  inputsKey: string;
  kernelVersion: string;
  /** `name version` of the package it is from; bases of older versions do not say. */
  kernelPackage?: string;
  /** `name version` of each installed package, as dpkg-query has it. */
  packages: string[];
  createdAt: string;
}

/** Report of the parts of this layer: `done` of `total` packages where that is known. */
export type ReportBase = (
  step: 'resolve' | 'base' | 'kernel',
  message: string,
  done?: number,
  total?: number,
) => void;

interface BaseOptions {
  cacheDir: string;
  /** Scratch directory of this build. */
  workDirectory: string;
  archives: readonly DebianArchive[];
  privilege: Privilege;
  /** Ask the archives for newer packages even when a base is there. */
  refresh: boolean;
  run: RunTool;
  report: ReportBase;
}

/** sha256 over everything that decides what a base is asked to contain. */
export function baseInputsKey(archives: readonly DebianArchive[]): string {
  const inputs = [
    BASE_REVISION,
    RELEASE,
    PACKAGES,
    DPKG_OPTIONS,
    KERNEL_META_PACKAGE,
    JOB_MODULES,
    SOURCE_DATE_EPOCH,
    archives,
  ];
  return createHash('sha256').update(JSON.stringify(inputs)).digest('hex');
}

export function baseDirectory(cacheDir: string, key: string): string {
  return join(cacheDir, 'bases', key);
}

/** Newest complete base with these inputs. */
export async function findBase(
  cacheDir: string,
  inputsKey: string,
): Promise<BaseLayer | undefined> {
  return (await listBases(cacheDir)).find((base) => base.inputsKey === inputsKey);
}

/** Newest first; a directory without a readable description is not a base. */
async function listBases(cacheDir: string): Promise<BaseLayer[]> {
  const names = await readdir(join(cacheDir, 'bases')).catch(() => []);
  const found: BaseLayer[] = [];
  for (const name of names) {
    const text = await readFile(join(cacheDir, 'bases', name, 'base.json'), 'utf8').catch(() => '');
    if (text !== '') found.push(JSON.parse(text) as BaseLayer);
  }
  return found.toSorted((a, b) => (a.createdAt < b.createdAt ? 1 : -1));
}

/** Finds or builds the base. The caller holds the build lock. */
export async function ensureBase(options: BaseOptions): Promise<BaseLayer> {
  const inputsKey = baseInputsKey(options.archives);
  const existing = await findBase(options.cacheDir, inputsKey);
  if (existing !== undefined && !options.refresh) return existing;

  const resolved = await resolvePackages(options);
  const key = createHash('sha256')
    .update(JSON.stringify([inputsKey, resolved.versions, resolved.kernelPackage]))
    .digest('hex');
  if (existing?.key === key) return existing;

  const target = join(options.workDirectory, 'base');
  await mkdir(join(target, 'modules'), { recursive: true });
  const kernelVersion = await fetchKernel(options, target, resolved.kernelPackage);
  const packages = await installPackages(options, target, {
    total: resolved.versions.length,
    kernelVersion,
  });
  const base: BaseLayer = {
    key,
    inputsKey,
    kernelVersion,
    kernelPackage: resolved.kernelPackage.replace('=', ' '),
    packages,
    createdAt: new Date().toISOString(),
  };
  await writeFile(join(target, 'base.json'), `${JSON.stringify(base, null, 2)}\n`);
  await mkdir(join(options.cacheDir, 'bases'), { recursive: true });
  const home = baseDirectory(options.cacheDir, key);
  await rm(home, { recursive: true, force: true });
  await rename(target, home);
  for (const old of (await listBases(options.cacheDir)).slice(BASES_KEPT)) {
    await rm(baseDirectory(options.cacheDir, old.key), { recursive: true, force: true });
  }
  return base;
}

interface Resolved {
  /** `name version` of every package apt would install. */
  versions: string[];
  /** `name=version` of the kernel package the meta package depends on. */
  kernelPackage: string;
}

/** Updates package lists of our own (never the host's) and asks apt what it would install. */
async function resolvePackages(options: BaseOptions): Promise<Resolved> {
  const { run, report } = options;
  const step = 'resolve';
  report(step, 'asking the apt sources for package versions');
  const apt = await aptConfiguration(run, aptDirectory(options), formatSources(options.archives));
  await run({ step, command: [...apt, 'apt-get', 'update'] });
  const simulate = [...apt, 'apt-get', '--simulate', '--no-install-recommends', 'install'] as const;
  const planned = await run({ step, command: [...simulate, '?essential', 'apt', ...PACKAGES] });
  const kernel = await run({ step, command: [...simulate, KERNEL_META_PACKAGE] });
  const image = installLines(kernel).find((line) => /^linux-image-[\d.]+-\S+ /.test(line));
  if (image === undefined) {
    throw new ImageError(
      'image_build_failed',
      `step resolve: ${KERNEL_META_PACKAGE} depends on no kernel image; is the mirror complete?`,
    );
  }
  return { versions: installLines(planned).toSorted(), kernelPackage: image.replace(' ', '=') };
}

/** `Inst name (version origin [arch]) ...` -> `name version`. */
function installLines(simulation: string): string[] {
  return [...simulation.matchAll(/^Inst (\S+) \((\S+) /gm)].map(
    ([, name = '', version = '']) => `${name} ${version}`,
  );
}

async function installPackages(
  options: BaseOptions,
  target: string,
  { total, kernelVersion }: { total: number; kernelVersion: string },
): Promise<string[]> {
  const { run, report, workDirectory } = options;
  const jobModules = join(jobModulesDirectory(options), kernelVersion);
  report('base', `installing Debian ${RELEASE}`, 0, 2 * total);
  const sources = join(workDirectory, 'mmdebstrap.sources');
  await writeFile(sources, formatSources(options.archives));
  const tar = join(target, 'base.tar');
  const aptOptions = join(workDirectory, 'mmdebstrap.conf');
  const acquire = [...(await hostAcquireOptions(run)), 'Acquire::Languages "none"'];
  await writeOptions(aptOptions, acquire);
  let done = 0;
  try {
    await run({
      step: 'base',
      command: asRoot(
        options.privilege,
        debstrapCommand({ workDirectory, aptOptions, sources, tar, jobModules }),
      ),
      onLine: (line) => {
        if (!/^(Unpacking|Setting up) /.test(line)) return;
        done = Math.min(done + 1, 2 * total);
        report('base', `installing Debian ${RELEASE}`, done, 2 * total);
      },
    });
  } finally {
    await rm(aptOptions, { force: true });
  }
  return readPackageLock(run, tar, join(workDirectory, 'dpkg'));
}

function debstrapCommand(paths: {
  workDirectory: string;
  /** File of apt options: `--aptopt` takes a path, too. */
  aptOptions: string;
  sources: string;
  tar: string;
  /** Its name is the kernel's version. */
  jobModules: string;
}): [string, ...string[]] {
  const kernelVersion = basename(paths.jobModules);
  return [
    'env',
    `SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH}`,
    `TMPDIR=${paths.workDirectory}`,
    `JOB_MODULES=${paths.jobModules}`,
    'mmdebstrap',
    '--verbose',
    '--variant=apt',
    '--mode=root',
    '--architectures=amd64',
    `--aptopt=${paths.aptOptions}`,
    ...DPKG_OPTIONS.map((option) => `--dpkgopt=${option}`),
    `--include=${PACKAGES.join(',')}`,
    // what came from the host: its proxies and mirrors (perhaps with passwords), name and resolver
    '--customize-hook=rm -f "$1"/etc/apt/apt.conf.d/99mmdebstrap "$1"/etc/apt/sources.list',
    '--customize-hook=rm -f "$1"/etc/apt/sources.list.d/* "$1"/etc/resolv.conf "$1"/etc/hostname',
    `--customize-hook=install -D -m 644 -t "$1"/usr/lib/modules/${kernelVersion} "$JOB_MODULES"/*`,
    `--customize-hook=chroot "$1" depmod ${kernelVersion}`,
    RELEASE,
    paths.tar,
    paths.sources,
  ];
}

async function readPackageLock(run: RunTool, tar: string, scratch: string): Promise<string[]> {
  await mkdir(scratch);
  const extract = ['tar', '-xf', tar, '-C', scratch, '--no-same-owner', './var/lib/dpkg'] as const;
  await run({ step: 'base', command: extract });
  const database = join(scratch, 'var/lib/dpkg');
  const format = '--showformat=${binary:Package} ${Version}\n';
  const command = ['dpkg-query', `--admindir=${database}`, format, '--show'] as const;
  return (await run({ step: 'base', command })).trim().split('\n').toSorted();
}

async function fetchKernel(
  options: BaseOptions,
  target: string,
  kernelPackage: string,
): Promise<string> {
  const { run, report, workDirectory } = options;
  report('kernel', `fetching ${kernelPackage}`);
  const downloads = join(workDirectory, 'kernel');
  await mkdir(downloads);
  const apt = await aptConfiguration(run, aptDirectory(options), formatSources(options.archives));
  const command = [...apt, 'apt-get', 'download', kernelPackage] as const;
  await run({ step: 'kernel', command, cwd: downloads });
  const deb = (await readdir(downloads)).find((name) => name.endsWith('.deb')) ?? kernelPackage;
  const paths = {
    ...{ deb: join(downloads, deb), workDirectory: join(downloads, 'x'), target },
    jobModules: jobModulesDirectory(options),
  };
  const { kernelVersion } = await extractKernel(run, paths);
  return kernelVersion;
}

function jobModulesDirectory(options: BaseOptions): string {
  return join(options.workDirectory, 'job-modules');
}

function aptDirectory(options: BaseOptions): string {
  return join(options.workDirectory, 'apt');
}
