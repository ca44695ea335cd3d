/**
 * Where bundles are kept, `<cache>/bundles`: each named by the hash of its content, with a record of the
 * sources it was made from, so that a second call reads those and bundles nothing.
 */
import { createHash, randomUUID } from 'node:crypto';
import {
  chmod,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { BUNDLES_KEPT } from './limits.ts';
import { type Bundled, REPOSITORY } from './run-esbuild.ts';

export interface Bundle {
  path: string;
  /** sha256 of the content, hex. */
  digest: string;
}

const READ_BY_ALL = 0o444;

interface BundleRecord {
  digest: string;
  /** File below the repository -> sha256 of its content. */
  inputs: Record<string, string>;
}

/** How one kind of bundle lies in the store: a file, or a directory. */
export interface BundleShape {
  nameOf: (digest: string) => string;
  digestOf: (bundled: Bundled) => string;
  write: (bundled: Bundled, path: string) => Promise<void>;
  /** Whether what is there is whole. */
  isWhole: (path: string, digest: string) => Promise<boolean>;
}

/**
 * The bundle as it would be made now: from the store, or by `make`.
 * @param settings everything that decides about the bundle beside its sources
 */
export async function keepBundle(
  directory: string,
  settings: unknown,
  shape: BundleShape,
  make: () => Promise<Bundled>,
): Promise<Bundle> {
  await mkdir(directory, { recursive: true });
  const recordPath = join(directory, `${sha256(JSON.stringify(settings)).slice(0, 32)}.json`);
  const known = await readRecord(recordPath);
  if (known !== undefined && (await isCurrent(known))) {
    const path = join(directory, shape.nameOf(known.digest));
    if (await shape.isWhole(path, known.digest)) {
      await openToAll(directory, path);
      return { path, digest: known.digest };
    }
  }
  const bundled = await make();
  const digest = shape.digestOf(bundled);
  const path = join(directory, shape.nameOf(digest));
  // Another process may have made it meanwhile, and use it.
  if (!(await shape.isWhole(path, digest))) await shape.write(bundled, path);
  await openToAll(directory, path);
  const record: BundleRecord = { digest, inputs: await digestsOf(bundled.inputs) };
  await writeAtomically(recordPath, `${JSON.stringify(record)}\n`);
  await prune(directory);
  return { path, digest };
}

/**
 * The job of another user reads its runner, which is no secret, whatever the umask was of who made it.
 * That was the same one for all files of a bundle.
 */
async function openToAll(directory: string, path: string): Promise<void> {
  await chmod(directory, 0o755);
  const found = await stat(path);
  if ((found.mode & READ_BY_ALL) === READ_BY_ALL) return;
  const below = found.isDirectory() ? await readdir(path, { recursive: true }) : [];
  for (const file of [...below.map((name) => join(path, name)), path]) {
    await chmod(file, (await stat(file)).isDirectory() ? 0o755 : 0o644);
  }
}

/** It outlives what is made beside it; the oldest files are removed. */
export async function touch({ path }: Bundle): Promise<void> {
  await utimes(path, new Date(), new Date());
}

async function readRecord(path: string): Promise<BundleRecord | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as BundleRecord;
  } catch {
    return undefined;
  }
}

/** An installed package stands for its files: npm replaces it as a whole. There are a thousand of those. */
const PACKAGE = /^(?:.*\/)?node_modules\/(?:@[^/]+\/)?[^/]+\//;

async function digestsOf(inputs: readonly string[]): Promise<Record<string, string>> {
  const files = inputs.map((path) => {
    const [installed] = PACKAGE.exec(path) ?? [];
    return installed === undefined ? path : `${installed}package.json`;
  });
  const digests = [...new Set(files)].map(async (path): Promise<[string, string]> => {
    return [path, sha256(await readFile(join(REPOSITORY, path)))];
  });
  return Object.fromEntries(await Promise.all(digests));
}

async function isCurrent(record: BundleRecord): Promise<boolean> {
  const checks = Object.entries(record.inputs).map(async ([path, digest]) => {
    const content = await readFile(join(REPOSITORY, path)).catch(() => '');
    return sha256(content) === digest;
  });
  return (await Promise.all(checks)).every(Boolean);
}

export async function writeAtomically(path: string, text: string): Promise<void> {
  const draft = draftBeside(path);
  await writeFile(draft, text);
  await rename(draft, path);
}

/** A name for what is not whole yet. */
export const draftBeside = (path: string): string => join(dirname(path), `.draft-${randomUUID()}`);

/** Removes the oldest files, drafts of killed processes among them. */
async function prune(directory: string): Promise<void> {
  const names = await readdir(directory);
  const aged = await Promise.all(
    names.map(async (name) => {
      const found = await stat(join(directory, name)).catch(() => undefined);
      return { name, ageMs: found === undefined ? 0 : Date.now() - found.mtimeMs };
    }),
  );
  // a bundle and its record are two, and so are its parser, its actions and the records of those
  const old = aged.toSorted((a, b) => a.ageMs - b.ageMs).slice(6 * BUNDLES_KEPT);
  await Promise.all(
    old.map(({ name }) => rm(join(directory, name), { recursive: true, force: true })),
  );
}

export function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}
