/** The package managers whose downloads are cached: what their lock files are called, and where they keep what they downloaded. */
import { getExecOutput } from '@actions/exec';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { isObject, parseObject } from './json-object.ts';

type PackageManager = {
  lockFiles: readonly string[];
  /** The command that prints the directory of its downloads. */
  cacheDirectory: () => Promise<string[]>;
};

/** @throws Error with what the command complains of */
async function ask(command: readonly [string, ...string[]]): Promise<string> {
  const [program, ...args] = command;
  const { exitCode, stderr, stdout } = await getExecOutput(program, args, {
    silent: true,
    ignoreReturnCode: true,
  });
  if (exitCode === 0 && stdout.trim() !== '') return stdout.trim();
  throw new Error(
    `'${command.join(' ')}' did not say where its cache is (exit code ${exitCode}): ${stderr.trim()}`,
  );
}

const MANAGERS: Readonly<Record<string, PackageManager>> = {
  npm: {
    lockFiles: ['package-lock.json', 'npm-shrinkwrap.json', 'yarn.lock'],
    cacheDirectory: async () => ['npm', 'config', 'get', 'cache'],
  },
  pnpm: {
    lockFiles: ['pnpm-lock.yaml'],
    cacheDirectory: async () => ['pnpm', 'store', 'path', '--silent'],
  },
  yarn: {
    lockFiles: ['yarn.lock'],
    cacheDirectory: async () =>
      (await ask(['yarn', '--version'])).startsWith('1.')
        ? ['yarn', 'cache', 'dir']
        : ['yarn', 'config', 'get', 'cacheFolder'],
  },
};

/** @throws Error: it is none of them */
function managerOf(name: string): PackageManager {
  const manager = Object.hasOwn(MANAGERS, name) ? MANAGERS[name] : undefined;
  if (manager !== undefined) return manager;
  throw new Error(`Caching for '${name}' is not supported`);
}

/** Where it keeps downloads, absolute. @throws Error */
export async function cacheDirectoryOf(name: string): Promise<string> {
  const [program = name, ...args] = await managerOf(name).cacheDirectory();
  return await ask([program, ...args]);
}

/** The lock file in the root of the workspace. @throws Error: there is none */
export function findLockFile(name: string, workspace: string): string {
  const { lockFiles } = managerOf(name);
  const there = readdirSync(workspace);
  const found = lockFiles.find((one) => there.includes(one));
  if (found !== undefined) return join(workspace, found);
  throw new Error(
    `Dependencies lock file is not found in ${workspace}. Supported file patterns: ${lockFiles.join(',')}`,
  );
}

const NPM = /^\^?npm(?:@.*)?$/;

/** Whether the package.json of the workspace names npm as its package manager. */
export function isNpmNamed(workspace: string): boolean {
  let text: string;
  try {
    text = readFileSync(join(workspace, 'package.json'), 'utf8');
  } catch {
    return false;
  }
  const { devEngines, packageManager } = parseObject(text) ?? {};
  const named = isObject(devEngines) ? [devEngines['packageManager']].flat().filter(isObject) : [];
  return [...named.map(({ name }) => name), packageManager].some(
    (one) => typeof one === 'string' && NPM.test(one),
  );
}
