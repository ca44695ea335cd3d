/**
 * Bundles the guest runner into one CommonJS file that needs nothing but Node: every megabyte of
 * JavaScript and every file costs a start under emulation. The parser of action files, which most
 * jobs never need, is larger than all the rest; it is a file of its own beside the runner's.
 *
 * Kept in `<cache>/bundles/<digest>.cjs` with a record of the sources it was made from, so that a
 * second call reads those and bundles nothing.
 */
import { createHash, randomUUID } from 'node:crypto';
import { mkdir, readdir, readFile, rename, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  build,
  stop,
  version as esbuildVersion,
  type BuildFailure,
  type BuildOptions,
  type Plugin,
} from 'esbuild';
import { ImageError } from './errors.ts';
import { BUNDLES_KEPT } from './limits.ts';

interface Bundle {
  path: string;
  /** sha256 of the file, hex. */
  digest: string;
}

export interface GuestRunnerBundle extends Bundle {
  /** The bundle loads it by its name, from its own directory. */
  actionParserPath: string;
}

interface BundleRecord {
  digest: string;
  /** Source file below the repository -> sha256 of its content. */
  inputs: Record<string, string>;
}

const REPOSITORY = join(import.meta.dirname, '../..');
const DEFAULT_ENTRY = join(REPOSITORY, 'guest-runner/src/main.ts');
/** What the runner imports and finds beside itself. */
const PARSER_MODULE = /^@onejob\/workflow\/parse-action$/;
const PARSER_ENTRY = join(REPOSITORY, 'workflow/src/parse/action.ts');
/** The program that loads the runner in the guest. */
export const START_ENTRY = join(REPOSITORY, 'image/src/guest/start-runner.ts');

const ESBUILD_OPTIONS = {
  absWorkingDir: REPOSITORY,
  bundle: true,
  platform: 'node',
  target: 'node24',
  format: 'cjs',
  legalComments: 'none',
  tsconfigRaw: {},
  // readable stack traces; minified it starts no faster
  minify: false,
  // `import()` of Node's own modules becomes `require`: the guest's start program has no other
  supported: { 'dynamic-import': false },
} as const satisfies BuildOptions;

/** Bundles `entry` (the guest runner's main module) unless that was done already. */
export async function bundleGuestRunner(options: {
  cacheDir: string;
  entry?: string | undefined;
}): Promise<GuestRunnerBundle> {
  const directory = join(options.cacheDir, 'bundles');
  await mkdir(directory, { recursive: true });
  const parser = await bundleOnce(directory, PARSER_ENTRY, '');
  // It outlives many runners; the oldest files are removed.
  await utimes(parser.path, new Date(), new Date());
  const runner = await bundleOnce(directory, options.entry ?? DEFAULT_ENTRY, parser.digest);
  return { ...runner, actionParserPath: parser.path };
}

/** @param parserDigest names the file of the parser; empty: this is the parser */
async function bundleOnce(directory: string, entry: string, parserDigest: string): Promise<Bundle> {
  const recordKey = sha256(JSON.stringify([esbuildVersion, ESBUILD_OPTIONS, entry, parserDigest]));
  const recordPath = join(directory, `${recordKey.slice(0, 32)}.json`);
  const known = await readRecord(recordPath);
  if (known !== undefined && (await isCurrent(known))) {
    const path = join(directory, `${known.digest}.cjs`);
    const bytes = await readFile(path).catch(() => undefined);
    if (bytes !== undefined && sha256(bytes) === known.digest)
      return { path, digest: known.digest };
  }
  const { text, inputs } = await bundle(entry, parserDigest);
  const digest = sha256(text);
  const path = join(directory, `${digest}.cjs`);
  await writeAtomically(path, text);
  await writeAtomically(recordPath, `${JSON.stringify({ digest, inputs })}\n`);
  await prune(directory);
  return { path, digest };
}

async function bundle(
  entry: string,
  parserDigest: string,
): Promise<{ text: string; inputs: Record<string, string> }> {
  const result = await runEsbuild(entry, parserDigest);
  const inputs: Record<string, string> = {};
  for (const path of Object.keys(result.metafile.inputs)) {
    inputs[path] = sha256(await readFile(join(REPOSITORY, path)));
  }
  return { text: result.outputFiles[0]?.text ?? '', inputs };
}

const parserBeside = (digest: string): Plugin => ({
  name: 'action-parser',
  setup: (bundling) => {
    bundling.onResolve({ filter: PARSER_MODULE }, () => ({
      path: `./${digest}.cjs`,
      external: true,
    }));
  },
});

let previousRun: Promise<unknown> = Promise.resolve();

/**
 * esbuild keeps a process running beside ours, for ever; it is stopped after each run. That would
 * break another run under way, so runs follow one another.
 */
function runEsbuild(entry: string, parserDigest: string) {
  const run = previousRun.then(async () => {
    try {
      return await build({
        ...ESBUILD_OPTIONS,
        entryPoints: [entry],
        plugins: parserDigest === '' ? [] : [parserBeside(parserDigest)],
        write: false,
        metafile: true,
        logLevel: 'silent',
      });
    } catch (cause) {
      const what = describeFailure(cause as BuildFailure);
      throw new ImageError('image_build_failed', `step runner: ${what}`, { cause });
    } finally {
      await stop();
    }
  });
  previousRun = run.catch(() => undefined);
  return run;
}

function describeFailure(failure: BuildFailure): string {
  const lines = (failure.errors ?? []).map(({ location, text }) =>
    location === null ? text : `${location.file}:${location.line}:${location.column + 1}: ${text}`,
  );
  return `cannot bundle the guest runner\n${lines.join('\n') || failure.message}`;
}

async function readRecord(path: string): Promise<BundleRecord | undefined> {
  try {
    return JSON.parse(await readFile(path, 'utf8')) as BundleRecord;
  } catch {
    return undefined;
  }
}

async function isCurrent(record: BundleRecord): Promise<boolean> {
  const checks = Object.entries(record.inputs).map(async ([path, digest]) => {
    const content = await readFile(join(REPOSITORY, path)).catch(() => '');
    return sha256(content) === digest;
  });
  return (await Promise.all(checks)).every(Boolean);
}

async function writeAtomically(path: string, text: string): Promise<void> {
  const draft = join(dirname(path), `.draft-${randomUUID()}`);
  await writeFile(draft, text);
  await rename(draft, path);
}

/** Removes the oldest files, drafts of killed processes among them. */
async function prune(directory: string): Promise<void> {
  const names = await readdir(directory);
  const aged = await Promise.all(
    names.map(async (name) => {
      const found = await stat(join(directory, name)).catch(() => undefined);
      return { name, ageMs: found === undefined ? 0 : Date.now() - found.mtimeMs };
    }),
  );
  // a bundle and its record are two files, and so are its parser and the record of that
  const old = aged.toSorted((a, b) => a.ageMs - b.ageMs).slice(4 * BUNDLES_KEPT);
  await Promise.all(old.map(({ name }) => rm(join(directory, name), { force: true })));
}

function sha256(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex');
}
