/**
 * What `onejob lint` reads: workflow files as they lie there, committed or not, in a git repository or
 * not. A directory stands for the workflows in it, or in its `.github/workflows`; `-` is standard input.
 */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { CliError } from '../errors.ts';

export type LintSource = { file: string; text: string };

const STANDARD_INPUT = '<stdin>';
const WORKFLOW_FILE = /\.ya?ml$/;
const USUAL_PLACE = join('.github', 'workflows');

/** @param paths from the current directory; none: the workflows of the current directory */
export async function lintSources(
  paths: readonly string[],
  stdin: NodeJS.ReadableStream,
): Promise<LintSource[]> {
  const files = new Map<string, LintSource>();
  for (const path of paths.length === 0 ? ['.'] : paths) {
    for (const source of path === '-' ? [await readInput(stdin)] : await readPath(path)) {
      files.set(source.file, source);
    }
  }
  return [...files.values()];
}

async function readInput(stdin: NodeJS.ReadableStream): Promise<LintSource> {
  return { file: STANDARD_INPUT, text: await text(stdin) };
}

async function readPath(path: string): Promise<LintSource[]> {
  const found = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    throw unreadable(path, cause);
  });
  const files = found.isDirectory() ? await workflowsIn(path) : [path];
  return await Promise.all(
    files.map(async (file) => ({
      file,
      text: await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
        throw unreadable(file, cause);
      }),
    })),
  );
}

async function workflowsIn(directory: string): Promise<string[]> {
  for (const place of [join(directory, USUAL_PLACE), directory]) {
    const names = await readdir(place).catch(() => []);
    const files = names.filter((name) => WORKFLOW_FILE.test(name)).toSorted();
    if (files.length > 0) return files.map((name) => join(place, name));
  }
  throw new CliError(
    'file_unreadable',
    `${directory} has no workflow: no .yml or .yaml file is in its .github/workflows, nor directly in ` +
      'it. Name files or directories: onejob lint <path>',
  );
}

function unreadable(path: string, cause: NodeJS.ErrnoException): CliError {
  const what = cause.code === 'ENOENT' ? 'there is no such file' : (cause.code ?? cause.message);
  return new CliError('file_unreadable', `${path} cannot be read: ${what}.`, { cause });
}
