/**
 * Bundles the guest runner into one CommonJS file that needs nothing but Node: every megabyte of
 * JavaScript and every file costs a start under emulation. The parser of action files, which most
 * jobs never need, is larger than all the rest; it is a file of its own beside the runner's. So is the
 * directory of the built-in actions.
 */
import { readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { version as esbuildVersion, type BuildOptions, type Plugin } from 'esbuild';
import { bundleActions } from './action-bundle.ts';
import {
  type Bundle,
  type BundleShape,
  keepBundle,
  sha256,
  touch,
  writeAtomically,
} from './bundle-store.ts';
import { type Bundled, GUEST_OPTIONS, REPOSITORY, runEsbuild } from './run-esbuild.ts';

export interface GuestRunnerBundle extends Bundle {
  /** The bundle loads it by its name, from its own directory. */
  actionParserPath: string;
  /** A directory; the bundle knows its name. Another program than the repository's runner has none. */
  builtinActionsPath: string | undefined;
}

const DEFAULT_ENTRY = join(REPOSITORY, 'guest-runner/src/main.ts');
/** What the runner imports and finds beside itself. */
const PARSER_MODULE = /^@onejob\/workflow\/parse-action$/;
const PARSER_ENTRY = join(REPOSITORY, 'workflow/src/parse/action.ts');
/** The program that loads the runner in the guest. */
export const START_ENTRY = join(REPOSITORY, 'image/src/guest/start-runner.ts');

const OPTIONS = {
  ...GUEST_OPTIONS,
  format: 'cjs',
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
  const actions = options.entry === undefined ? await bundleActions(directory) : undefined;
  const parser = await bundleFile(directory, PARSER_ENTRY, {});
  await touch(parser);
  const runner = await bundleFile(directory, options.entry ?? DEFAULT_ENTRY, {
    plugins: [parserBeside(parser.digest)],
    define:
      actions === undefined ? {} : { BUILTIN_ACTIONS: JSON.stringify(basename(actions.path)) },
  });
  return { ...runner, actionParserPath: parser.path, builtinActionsPath: actions?.path };
}

const ONE_FILE: BundleShape = {
  nameOf: (digest) => `${digest}.cjs`,
  digestOf: (bundled) => sha256(textOf(bundled)),
  write: async (bundled, path) => await writeAtomically(path, textOf(bundled)),
  isWhole: async (path, digest) => {
    const bytes = await readFile(path).catch(() => undefined);
    return bytes !== undefined && sha256(bytes) === digest;
  },
};

const textOf = ({ files }: Bundled): string => files[0]?.text ?? '';

async function bundleFile(
  directory: string,
  entry: string,
  more: Pick<BuildOptions, 'define' | 'plugins'>,
): Promise<Bundle> {
  const settings = [esbuildVersion, OPTIONS, entry, more.define, more.plugins];
  return await keepBundle(directory, settings, ONE_FILE, () =>
    runEsbuild('the guest runner', { ...OPTIONS, ...more, entryPoints: [entry] }),
  );
}

/** @param digest names the file of the parser */
const parserBeside = (digest: string): Plugin => ({
  name: `action-parser-${digest}`,
  setup: (bundling) => {
    bundling.onResolve({ filter: PARSER_MODULE }, () => ({
      path: `./${digest}.cjs`,
      external: true,
    }));
  },
});
