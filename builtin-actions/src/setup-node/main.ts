/**
 * actions/setup-node, as its README has it since version 4: Node, the registry of packages, the cache of
 * what was downloaded of them, and problem matchers for what is often run with it.
 */
import { endGroup, getInput, setOutput, startGroup, warning } from '@actions/core';
import { getExecOutput } from '@actions/exec';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readGitHub } from '../config/environment.ts';
import { say } from '../toolkit/inputs.ts';
import { runAction } from '../toolkit/run-action.ts';
import { installNode } from './install-node.ts';
import { NodeDist } from './node-dist.ts';
import { writeRegistry } from './npm-registry.ts';
import { isNpmNamed } from './package-managers.ts';
import { readVersionFile } from './version-file.ts';

const isTrue = (name: string): boolean => getInput(name).toLowerCase() === 'true';

/** Empty: none is asked for. */
function readVersion(): string {
  const version = getInput('node-version');
  const file = getInput('node-version-file');
  if (version !== '') {
    if (file !== '') {
      warning(
        'Both node-version and node-version-file inputs are specified, only node-version will be used',
      );
    }
    return version;
  }
  if (file === '') return '';
  const path = resolve(readGitHub().workspace, file);
  const found = readVersionFile(path);
  if (found === undefined) {
    warning(`Could not determine node version from ${path}. Falling back`);
    return '';
  }
  say(`Resolved ${file} as ${found}`);
  return found;
}

async function versionOf(tool: string): Promise<string> {
  try {
    const { exitCode, stdout } = await getExecOutput(tool, ['--version'], {
      silent: true,
      ignoreReturnCode: true,
    });
    return exitCode === 0 ? stdout.trim() : '';
  } catch {
    return '';
  }
}

async function tellEnvironment(): Promise<void> {
  startGroup('Environment details');
  for (const tool of ['node', 'npm', 'yarn']) {
    const version = await versionOf(tool);
    if (tool === 'node') setOutput('node-version', version);
    say(`${tool}: ${version}`);
  }
  endGroup();
}

function chooseManager(): string {
  const manager = getInput('cache');
  if (manager !== '' || !isTrue('package-manager-cache')) return manager;
  if (!isNpmNamed(readGitHub().workspace)) return '';
  say(
    "Detected npm as the package manager from package.json's packageManager field. " +
      'Auto caching has been enabled for npm. If you want to disable it, set package-manager-cache input to false',
  );
  return 'npm';
}

/** Of TypeScript and ESLint, as the action has them. */
function addMatchers(): void {
  const directory = dirname(fileURLToPath(import.meta.url));
  for (const name of ['tsc', 'eslint-stylish', 'eslint-compact']) {
    process.stdout.write(`::add-matcher::${join(directory, 'matchers', `${name}.json`)}\n`);
  }
}

await runAction(async () => {
  const spec = readVersion().trim();
  const arch = getInput('architecture');
  if (arch !== '' && spec === '') {
    warning(
      '`architecture` is provided but `node-version` is missing. In this configuration, the version/architecture of Node will not be changed. To fix this, provide `architecture` in combination with `node-version`',
    );
  }
  if (spec !== '') {
    const dist = new NodeDist(getInput('mirror'), getInput('mirror-token'));
    await installNode({ spec, arch, checkLatest: isTrue('check-latest') }, dist);
  }
  await tellEnvironment();
  const url = getInput('registry-url');
  if (url !== '') {
    writeRegistry({ url, scope: getInput('scope'), alwaysAuth: getInput('always-auth') });
  }
  const manager = chooseManager();
  if (manager !== '') {
    const { restoreDependencies } = await import('./dependency-cache.ts');
    await restoreDependencies(manager, getInput('cache-dependency-path'));
  }
  addMatchers();
});
