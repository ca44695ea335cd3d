/** Runs esbuild, one run at a time, and explains what it refuses. */
import { build, stop, type BuildFailure, type BuildOptions } from 'esbuild';
import { join } from 'node:path';
import { ImageError } from './errors.ts';

export const REPOSITORY = join(import.meta.dirname, '../..');

/** Of everything that runs in the guest. */
export const GUEST_OPTIONS = {
  absWorkingDir: REPOSITORY,
  bundle: true,
  platform: 'node',
  target: 'node24',
  legalComments: 'none',
  tsconfigRaw: {},
} as const satisfies BuildOptions;

export interface Bundled {
  /** Name of a file, below the output's directory where there are several. */
  files: { name: string; text: string }[];
  /** Source files below the repository. */
  inputs: string[];
}

let previousRun: Promise<unknown> = Promise.resolve();

/**
 * esbuild keeps a process running beside ours, for ever; it is stopped after each run. That would
 * break another run under way, so runs follow one another.
 * @param what for people: what cannot be bundled
 */
export function runEsbuild(what: string, options: BuildOptions): Promise<Bundled> {
  const run = previousRun.then(async () => {
    try {
      const settings = { write: false, metafile: true, logLevel: 'silent' } as const;
      const { metafile, outputFiles } = await build({ ...options, ...settings });
      const from = join(REPOSITORY, options.outdir ?? '');
      const files = outputFiles.map(({ path, text }) => ({
        name: path.slice(from.length + 1),
        text,
      }));
      return { files, inputs: Object.keys(metafile.inputs) };
    } catch (cause) {
      const why = describeFailure(cause as BuildFailure);
      throw new ImageError('image_build_failed', `step runner: cannot bundle ${what}\n${why}`, {
        cause,
      });
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
  return lines.join('\n') || failure.message;
}
