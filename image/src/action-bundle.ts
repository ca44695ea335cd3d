/**
 * Bundles onejob's own implementations of GitHub's actions (the zone builtin-actions) into one directory:
 * below the name of each its metadata file, its scripts and what they read, and beside them what several share. They are
 * processes of the job's own Node, so they are modules as esbuild splits them.
 */
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { version as esbuildVersion, type BuildOptions } from 'esbuild';
import { type Bundle, draftBeside, keepBundle, sha256, touch } from './bundle-store.ts';
import { type Bundled, GUEST_OPTIONS, REPOSITORY, runEsbuild } from './run-esbuild.ts';

const SOURCES = 'builtin-actions/src';
/** Goes in as it is: metadata, and what scripts read. */
const PLAIN = /\.(?:json|yml)$/;
/** Parts of an action that have a script. */
const SCRIPT = /^(?:main|post)\.ts$/;

const OPTIONS = {
  ...GUEST_OPTIONS,
  format: 'esm',
  splitting: true,
  outdir: 'bundled',
  outbase: SOURCES,
  outExtension: { '.js': '.mjs' },
  // A third of the bytes, which each start of an action reads and parses.
  minify: true,
  // The clients tell their errors by the names of classes.
  keepNames: true,
  // What they are made of was written for `require`.
  banner: {
    js: "import { createRequire as requireOfActions } from 'node:module'; const require = requireOfActions(import.meta.url);",
  },
} as const satisfies BuildOptions;

/** Scripts and plain files, below the repository, in the order of their names. */
async function listSources(): Promise<{ scripts: string[]; plain: string[] }> {
  const names = await readdir(join(REPOSITORY, SOURCES), { recursive: true });
  const paths = names.toSorted().map((name) => join(SOURCES, name));
  return {
    scripts: paths.filter((path) => SCRIPT.test(path.split('/').at(-1) ?? '')),
    plain: paths.filter((path) => PLAIN.test(path)),
  };
}

async function bundle(scripts: string[], plain: string[]): Promise<Bundled> {
  const { files, inputs } = await runEsbuild('the built-in actions', {
    ...OPTIONS,
    entryPoints: scripts,
  });
  for (const path of plain) {
    const text = await readFile(join(REPOSITORY, path), 'utf8');
    files.push({ name: path.slice(SOURCES.length + 1), text });
  }
  return { files, inputs: [...inputs, ...plain] };
}

/** Of names and contents, whatever order they come in. */
function digestOf(files: readonly { name: string; text: string }[]): string {
  const lines = files.map(({ name, text }) => `${name} ${sha256(text)}\n`);
  return sha256(lines.toSorted().join(''));
}

async function readDirectory(path: string): Promise<{ name: string; text: string }[]> {
  const entries = await readdir(path, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return await Promise.all(
    files.map(async (entry) => {
      const file = join(entry.parentPath, entry.name);
      return { name: file.slice(path.length + 1), text: await readFile(file, 'utf8') };
    }),
  );
}

async function writeDirectory({ files }: Bundled, path: string): Promise<void> {
  const draft = draftBeside(path);
  for (const { name, text } of files) {
    const file = join(draft, name);
    await mkdir(dirname(file), { recursive: true });
    await writeFile(file, text);
  }
  // What is there is damaged.
  await rm(path, { recursive: true, force: true });
  try {
    await rename(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOTEMPTY') throw error;
    await rm(draft, { recursive: true, force: true });
  }
}

/** @param directory of the store of bundles */
export async function bundleActions(directory: string): Promise<Bundle> {
  const { plain, scripts } = await listSources();
  const shape = {
    nameOf: (digest: string) => `actions-${digest}`,
    digestOf: (bundled: Bundled) => digestOf(bundled.files),
    write: writeDirectory,
    isWhole: async (path: string, digest: string) =>
      digestOf(await readDirectory(path).catch(() => [])) === digest,
  };
  const actions = await keepBundle(
    directory,
    [esbuildVersion, OPTIONS, scripts, plain],
    shape,
    () => bundle(scripts, plain),
  );
  await touch(actions);
  return actions;
}
