/**
 * From recipe to image. `ensureImage` costs some milliseconds when the recipe's image is there; else
 * it builds: base layer (rare, half a minute), then initramfs and root disk (some seconds).
 *
 * Steps: lock -> tools -> resolve -> kernel -> base -> runner -> initrd -> root -> finish. All work is
 * in `<cache>/scratch/`, which the next holder of the lock empties: a killed build leaves nothing for
 * good. The image appears by one rename at the end.
 */
import { randomUUID } from 'node:crypto';
import { mkdir, open, readdir, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { readDebianArchives, type DebianArchive } from './apt-sources.ts';
import {
  baseDirectory,
  baseInputsKey,
  ensureBase,
  findBase,
  type BaseLayer,
} from './base-layer.ts';
import { takeBuildLock } from './build-lock.ts';
import { compileCacheInputs, writeCompileCache } from './compile-cache.ts';
import { ImageError, translateFileError } from './errors.ts';
import { buildInitramfs } from './initramfs.ts';
import { BUILD_FREE_BYTES, LAYER_FREE_BYTES } from './limits.ts';
import { requireImageName } from './import-image.ts';
import { contentOfParts, digestOfParts, newManifest, type GuestImage } from './manifest.ts';
import { currentPrivilege, removeTree, requirePrivilege, type Privilege } from './privilege.ts';
import { BUILT_IMAGE_NAME, IMAGE_FILES } from './recipe.ts';
import { builtDigest, readPrograms, recipeKey } from './recipe-key.ts';
import { buildRootFilesystem, findGuestNode, type GuestNode } from './root-filesystem.ts';
import { bundleGuestRunner, START_ENTRY, type GuestRunnerBundle } from './runner-bundle.ts';
import { pruneBuiltImages } from './promotion/remove-image.ts';
import { readInventory } from './report/inventory.ts';
import { findByRecipe, publishImage, scratchDirectory } from './store.ts';
import { makeRunTool, requireTools, startLog, type RunTool } from './tool.ts';

export type ImageStep =
  | 'lock'
  | 'tools'
  | 'resolve'
  | 'kernel'
  | 'base'
  | 'runner'
  | 'initrd'
  | 'root'
  | 'finish';

export interface ImageProgress {
  step: ImageStep;
  message: string;
  /** Since the build began. */
  elapsedMs: number;
  /** Parts of this step done, where they can be counted. */
  done?: number;
  total?: number;
}

export interface ImageOptions {
  /** Absolute. Holds images, layers, bundles, the lock and the log of the last build. */
  cacheDir: string;
  onProgress?: ((progress: ImageProgress) => void) | undefined;
  /** Ends a build early, with nothing left behind. */
  signal?: AbortSignal | undefined;
  /** Main module of another guest runner than the repository's own. */
  guestRunnerEntry?: string | undefined;
}

const TOOLS: readonly string[] = [
  'apt-get',
  'dpkg-deb',
  'flock',
  'gcc',
  'lz4',
  'mkfs.erofs',
  'mmdebstrap',
  'setpriv',
  'strip',
  'tar',
  'unshare',
];
const UNPRIVILEGED_TOOLS: readonly string[] = ['newuidmap'];
const APT_DIRECTORY = '/etc/apt';

/** What this checkout and this host ask for, before apt resolved any version. */
interface Recipe {
  key: string;
  archives: DebianArchive[];
  runner: GuestRunnerBundle;
  /** What loads the runner in the guest. */
  start: GuestRunnerBundle;
  node: GuestNode;
}

/** The image of the present recipe: from the cache, or built now. */
export async function ensureImage(options: ImageOptions): Promise<GuestImage> {
  return findOrBuild(options, false);
}

/** Builds even when there is an image, with the newest packages the archives have. */
export async function buildImage(options: ImageOptions): Promise<GuestImage> {
  return findOrBuild(options, true);
}

/**
 * Could a build begin here? The image of the present recipe where it is there already; undefined: a
 * build has what it needs. Else throws what the build would say, before it has cost anything.
 */
export async function checkImage(options: ImageOptions): Promise<GuestImage | undefined> {
  const { cacheDir } = options;
  try {
    await mkdir(cacheDir, { recursive: true });
    const recipe = await readRecipe(options);
    const cached = await findByRecipe(cacheDir, recipe.key);
    if (cached !== undefined) return cached;
    await using nowhere = await open('/dev/null', 'a');
    await requireHost(makeRunTool({ logPath: '/dev/null', lockFd: nowhere.fd, signal: undefined }));
    await requireSpace(cacheDir, recipe, false);
    return undefined;
  } catch (error) {
    throw translateFileError(error, cacheDir);
  }
}

/** What this user may do on this host, and with which programs. */
async function requireHost(run: RunTool): Promise<Privilege> {
  const privilege = currentPrivilege();
  await requireTools(privilege === 'root' ? TOOLS : [...TOOLS, ...UNPRIVILEGED_TOOLS]);
  await requirePrivilege(privilege, run);
  return privilege;
}

async function findOrBuild(options: ImageOptions, force: boolean): Promise<GuestImage> {
  const { cacheDir } = options;
  try {
    await mkdir(cacheDir, { recursive: true });
    const recipe = await readRecipe(options);
    const cached = force ? undefined : await findByRecipe(cacheDir, recipe.key);
    return cached ?? (await buildUnderLock(options, recipe, force));
  } catch (error) {
    throw translateFileError(error, cacheDir);
  }
}

/** A root file system that somebody else made, checked and flat. */
export interface ForeignRoot {
  tarPath: string;
  name: string;
}

/**
 * Builds an image with the recipe's kernel, Node and guest runner on somebody else's root file system.
 * @param makeRoot makes it in the scratch directory it is given
 * @param wanted a name that is refused before anything is done for it
 */
export async function buildOnRoot(
  options: ImageOptions,
  makeRoot: (scratch: string) => Promise<ForeignRoot>,
  wanted: { name: string | undefined },
): Promise<GuestImage> {
  const { cacheDir } = options;
  if (wanted.name !== undefined) requireImageName(wanted.name);
  try {
    await mkdir(cacheDir, { recursive: true });
    const recipe = await readRecipe(options);
    const nothingYet = async (): Promise<undefined> => await Promise.resolve(undefined);
    return await underLock(options, 'import', nothingYet, async (tools) => {
      return await inScratch({ cacheDir, recipe, force: false, ...tools }, async (build) => {
        await requireSpace(cacheDir, recipe, false);
        return await buildInScratch(build, await makeRoot(build.workDirectory));
      });
    });
  } catch (error) {
    throw translateFileError(error, cacheDir);
  }
}

async function readRecipe(options: ImageOptions): Promise<Recipe> {
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    const message = `guest images are built on Linux on x86-64; this is ${process.platform} on ${process.arch}`;
    throw new ImageError('image_tool_missing', message);
  }
  const { cacheDir, guestRunnerEntry } = options;
  const [archives, runner, start, node, programs, compileCache] = await Promise.all([
    readDebianArchives(APT_DIRECTORY),
    bundleGuestRunner({ cacheDir, entry: guestRunnerEntry }),
    bundleGuestRunner({ cacheDir, entry: START_ENTRY }),
    findGuestNode(),
    readPrograms(),
    compileCacheInputs(),
  ]);
  const key = recipeKey({
    ...{ archives, runner: runner.digest, start: start.digest, programs, compileCache },
    ...{ node: node.version, npm: node.npm.version },
  });
  return { key, archives, runner, start, node };
}

async function buildUnderLock(
  options: ImageOptions,
  recipe: Recipe,
  force: boolean,
): Promise<GuestImage> {
  const { cacheDir } = options;
  const find = async (): Promise<GuestImage | undefined> =>
    force ? undefined : await findByRecipe(cacheDir, recipe.key);
  return await underLock(options, 'build', find, async (tools) => {
    await requireSpace(cacheDir, recipe, force);
    return await inScratch({ cacheDir, recipe, force, ...tools }, async (build) => {
      return await buildInScratch(build, undefined);
    });
  });
}

type Report = (step: ImageStep, message: string, done?: number, total?: number) => void;

/** What the one builder of a cache directory works with. */
interface Tools {
  privilege: Privilege;
  run: RunTool;
  /** As `run`, but goes on after a cancellation. */
  cleanUp: RunTool;
  report: Report;
}

/** @param find what somebody may have made while we waited */
async function underLock(
  options: ImageOptions,
  what: 'build' | 'import',
  find: () => Promise<GuestImage | undefined>,
  work: (tools: Tools) => Promise<GuestImage>,
): Promise<GuestImage> {
  const { cacheDir, signal } = options;
  const startedAt = performance.now();
  const report: Report = (step, message, done, total) => {
    const elapsedMs = Math.round(performance.now() - startedAt);
    const count = done === undefined || total === undefined ? {} : { done, total };
    options.onProgress?.({ step, message, elapsedMs, ...count });
  };
  await using lock = await takeBuildLock(join(cacheDir, 'build.lock'), {
    onWait: () => report('lock', 'waiting for another build in this cache directory'),
    signal,
  });
  const made = await find();
  if (made !== undefined) return made;

  const logPath = join(cacheDir, 'build.log');
  await startLog(logPath, `${what} of ${new Date().toISOString()}`);
  const run = makeRunTool({ logPath, lockFd: lock.fd, signal });
  // cleaning up is never cancelled by what caused it
  const cleanUp = makeRunTool({ logPath, lockFd: lock.fd, signal: undefined });
  report('tools', 'checking tools and disk space');
  const privilege = await requireHost(run);
  await emptyScratch(cacheDir, privilege, cleanUp);
  return await work({ privilege, run, cleanUp, report });
}

interface Build extends Tools {
  cacheDir: string;
  recipe: Recipe;
  force: boolean;
  workDirectory: string;
}

async function inScratch(
  build: Omit<Build, 'workDirectory'>,
  work: (build: Build) => Promise<GuestImage>,
): Promise<GuestImage> {
  const workDirectory = join(scratchDirectory(build.cacheDir), `build-${randomUUID()}`);
  // The host's ways to its archives are in there for a while, perhaps with passwords.
  await mkdir(workDirectory, { recursive: true, mode: 0o700 });
  try {
    return await work({ ...build, workDirectory });
  } finally {
    await removeTree(build.privilege, build.cleanUp, workDirectory);
  }
}

/** @param foreign undefined: the base layer's own packages */
async function buildInScratch(build: Build, foreign: ForeignRoot | undefined): Promise<GuestImage> {
  const { cacheDir, recipe, privilege, run, workDirectory } = build;
  const timer = new StepTimer(build.report);
  const base = await ensureBase({
    cacheDir,
    workDirectory,
    archives: recipe.archives,
    privilege,
    refresh: build.force,
    run,
    report: timer.report,
  });
  const from = baseDirectory(cacheDir, base.key);
  const image = join(workDirectory, 'image');
  await mkdir(image);
  timer.report('initrd', 'compiling init, packing the initramfs');
  await buildInitramfs(run, {
    modulesDirectory: join(from, 'modules'),
    workDirectory,
    target: join(image, IMAGE_FILES.initrd),
  });
  timer.report('root', 'packing the root disk');
  const runner = {
    start: recipe.start.path,
    bundle: recipe.runner.path,
    cache: join(workDirectory, 'runner.cache'),
  };
  await writeCompileCache(run, {
    node: recipe.node.path,
    bundle: runner.bundle,
    target: runner.cache,
  });
  await buildRootFilesystem(run, {
    baseTar: join(from, 'base.tar'),
    foreignTar: foreign?.tarPath,
    runner,
    actionParserPath: recipe.runner.actionParserPath,
    builtinActionsPath: recipe.runner.builtinActionsPath,
    node: recipe.node,
    archives: recipe.archives,
    privilege,
    workDirectory,
    target: join(image, IMAGE_FILES.root),
  });
  await run({ step: 'finish', command: ['cp', join(from, 'vmlinux'), join(image, 'vmlinux')] });
  timer.report('finish', 'hashing and storing');
  if (foreign !== undefined) return await publishForeign(build, base, image, foreign);
  const published = await publish(build, base, image, timer);
  await pruneBuiltImages(cacheDir);
  return published;
}

async function publishForeign(
  { cacheDir, recipe }: Build,
  base: BaseLayer,
  directory: string,
  { name }: ForeignRoot,
): Promise<GuestImage> {
  const files = await contentOfParts(directory);
  const { debian } = await readInventory(join(directory, IMAGE_FILES.root));
  const manifest = newManifest({
    digest: digestOfParts(files),
    name,
    origin: 'imported',
    recipeKey: null,
    createdAt: new Date().toISOString(),
    buildTimeMs: 0,
    steps: [],
    packages: (debian ?? []).map((one) => `${one.name} ${one.version}`),
    nodeVersion: recipe.node.version,
    kernelVersion: base.kernelVersion,
    kernelPackage: base.kernelPackage,
    files,
  });
  return await publishImage(cacheDir, directory, manifest);
}

async function publish(
  build: Build,
  base: BaseLayer,
  directory: string,
  timer: StepTimer,
): Promise<GuestImage> {
  const { cacheDir, recipe } = build;
  const files = await contentOfParts(directory);
  const manifest = newManifest({
    digest: builtDigest(recipe.key, base.key),
    name: BUILT_IMAGE_NAME,
    origin: 'built',
    recipeKey: recipe.key,
    createdAt: new Date().toISOString(),
    ...timer.finish(),
    packages: base.packages,
    nodeVersion: recipe.node.version,
    kernelVersion: base.kernelVersion,
    kernelPackage: base.kernelPackage,
    files,
  });
  return publishImage(cacheDir, directory, manifest);
}

/** Measures each step from its first report to the first report of the next. */
class StepTimer {
  readonly #report: Report;
  readonly #steps: { step: string; elapsedMs: number }[] = [];
  readonly #startedAt = performance.now();
  #stepStartedAt = performance.now();
  #current: ImageStep | undefined;

  constructor(report: Report) {
    this.#report = report;
  }

  readonly report: Report = (step, message, done, total) => {
    if (step !== this.#current) this.#close(step);
    this.#report(step, message, done, total);
  };

  finish(): { buildTimeMs: number; steps: { step: string; elapsedMs: number }[] } {
    this.#close(undefined);
    return { buildTimeMs: Math.round(performance.now() - this.#startedAt), steps: this.#steps };
  }

  #close(next: ImageStep | undefined): void {
    const now = performance.now();
    if (this.#current !== undefined) {
      const elapsedMs = Math.round(now - this.#stepStartedAt);
      this.#steps.push({ step: this.#current, elapsedMs });
    }
    this.#current = next;
    this.#stepStartedAt = now;
  }
}

async function requireSpace(cacheDir: string, recipe: Recipe, force: boolean): Promise<void> {
  const base = await findBase(cacheDir, baseInputsKey(recipe.archives));
  const needed = base === undefined || force ? BUILD_FREE_BYTES : LAYER_FREE_BYTES;
  const disk = await statfs(cacheDir);
  const free = disk.bavail * disk.bsize;
  if (free >= needed) return;
  const [freeMiB, neededMiB] = [free, needed].map((bytes) => Math.floor(bytes / 1024 / 1024));
  throw new ImageError(
    'image_disk_full',
    `building the guest image needs ${neededMiB} MiB below ${cacheDir}, and ${freeMiB} MiB are free; ` +
      'free some space (`onejob image list`, `onejob image remove`) or name another cache directory',
  );
}

/** Clears away what killed builds left; the caller holds the lock, so nobody works in there. */
async function emptyScratch(
  cacheDir: string,
  privilege: Privilege,
  cleanUp: RunTool,
): Promise<void> {
  const scratch = scratchDirectory(cacheDir);
  await mkdir(scratch, { recursive: true });
  for (const name of await readdir(scratch))
    await removeTree(privilege, cleanUp, join(scratch, name));
}
