/** An image built in a process of its own, on the base layer that all tests share. */
import { spawn, type ChildProcess } from 'node:child_process';
import { mkdir, mkdtempDisposable, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { ensureImage, type GuestImage, type ImageProgress } from '../src/index.ts';
import { sharedCacheDir } from './_guest.ts';

/** So that the base layer is there. */
export async function buildSharedImage(): Promise<void> {
  const guestRunnerEntry = join(import.meta.dirname, '_probe-runner.ts');
  await ensureImage({ cacheDir: sharedCacheDir(), guestRunnerEntry });
}

export interface Outcome {
  progress: ImageProgress[];
  image?: GuestImage;
  error?: { code: string; message: string };
}

export interface Scratch extends AsyncDisposable {
  cacheDir: string;
  entry: string;
  path: string;
}

/** A cache directory with the shared base layer, and a guest runner that says `word`. */
export async function makeScratch(word: string): Promise<Scratch> {
  const scratch = await mkdtempDisposable(join(tmpdir(), 'onejob-build-'));
  const cacheDir = join(scratch.path, 'cache');
  const entry = join(scratch.path, 'main.ts');
  await mkdir(cacheDir);
  await symlink(join(sharedCacheDir(), 'bases'), join(cacheDir, 'bases'));
  await writeFile(entry, `console.log(${JSON.stringify(word)});\n`);
  return { cacheDir, entry, path: scratch.path, [Symbol.asyncDispose]: () => scratch.remove() };
}

export function start(
  scratch: Scratch,
  options: { path?: string; wrapper?: string[] } = {},
): ChildProcess {
  const script = join(import.meta.dirname, '_ensure-process.ts');
  const node = [process.execPath, script, scratch.cacheDir, scratch.entry];
  const [command = '', ...words] = [...(options.wrapper ?? []), ...node];
  const env = { ...process.env, PATH: options.path ?? process.env['PATH'] };
  return spawn(command, words, { stdio: ['ignore', 'pipe', 'inherit'], env });
}

/** Collects what the process reports, until its end. */
export async function outcomeOf(
  child: ChildProcess,
  onProgress: (progress: ImageProgress) => void = () => undefined,
): Promise<Outcome> {
  const outcome: Outcome = { progress: [] };
  for await (const line of createInterface({ input: child.stdout! })) {
    const said = JSON.parse(line) as { progress?: ImageProgress } & Omit<Outcome, 'progress'>;
    if (said.progress !== undefined) {
      outcome.progress.push(said.progress);
      onProgress(said.progress);
    } else {
      Object.assign(outcome, said);
    }
  }
  return outcome;
}

export function stepsOf(outcome: Outcome): string[] {
  return [...new Set(outcome.progress.map(({ step }) => step))];
}
