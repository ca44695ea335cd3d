/** What `-W` names: workflow files, or directories of them, as paths from the checkout's top. */
import { readdir, realpath, stat } from 'node:fs/promises';
import { join, relative, resolve } from 'node:path';
import { WORKFLOWS_PER_REQUEST } from '@onejob/protocol';
import { CliError } from '../errors.ts';

const WORKFLOW_FILE = /\.ya?ml$/;

/** @param paths as typed, from the current directory. None: the platform takes its usual place. */
export async function findWorkflows(root: string, paths: readonly string[]): Promise<string[]> {
  const found = await Promise.all(paths.map(async (path) => await filesOf(root, path)));
  const files = [...new Set(found.flat())];
  if (files.length <= WORKFLOWS_PER_REQUEST) return files;
  throw new CliError(
    'usage',
    `-W ${paths.join(' -W ')}: ${files.length} workflow files, and one command takes at most ` +
      `${WORKFLOWS_PER_REQUEST}. Name fewer; without -W every file of .github/workflows is read.`,
  );
}

async function filesOf(root: string, path: string): Promise<string[]> {
  const full = await realpath(resolve(path)).catch((cause: unknown) => {
    throw new CliError(
      'file_unreadable',
      `-W ${path}: there is no such file. What there is: onejob run --list`,
      { cause },
    );
  });
  const inside = relative(await realpath(root), full);
  if (inside === '..' || inside.startsWith('../')) {
    throw new CliError(
      'usage',
      `-W ${path} is not inside the checkout ${root}. Workflows are read from its snapshot.`,
    );
  }
  if (!(await stat(full)).isDirectory()) return [inside];
  const names = (await readdir(full)).filter((name) => WORKFLOW_FILE.test(name)).toSorted();
  if (names.length > 0) return names.map((name) => join(inside, name));
  throw new CliError(
    'file_unreadable',
    `-W ${path}: no .yml or .yaml file is directly in that directory.`,
  );
}
