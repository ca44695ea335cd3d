/**
 * Rules about the repository as a whole: hosts that must not be named, the code map. And the way the
 * files are found.
 */

import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { listFiles, readWorkspaces } from '../test-run/find-files.ts';
import type { Violation } from './rule.ts';

export interface TextFile {
  readonly path: string;
  readonly text: string;
}

const SOURCE = /\.(ts|mts|mjs|cjs|js)$/;
const COUNTED = /\.(ts|mts|mjs|cjs|js|c|h|sh|sql)$/;
const TEXT = /\.(ts|mts|mjs|cjs|js|c|h|sh|sql|json|md|ya?ml|proto|toml|html|css)$/;
/** Files in the root that are text without being in a workspace. */
const ROOT_FOLDERS = ['docs', 'examples', '.ci', 'deploy'];

export function isSource(file: string): boolean {
  return SOURCE.test(file);
}

/** Whether it is written by hand line by line, so that its length says something. */
export function isCounted(file: string): boolean {
  return COUNTED.test(file);
}

/** All text files of the workspaces. */
export function readWorkspaceFiles(root: string): TextFile[] {
  return readWorkspaces(root)
    .flatMap((workspace) => listFiles(root, workspace))
    .filter((file) => TEXT.test(file))
    .map((file) => ({ path: file, text: readFileSync(path.join(root, file), 'utf8') }));
}

/** All text files outside the workspaces: the root's own, documents, examples, CI. */
export function readOtherFiles(root: string): TextFile[] {
  const ofRoot = readdirSync(root, { withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name);
  const ofFolders = ROOT_FOLDERS.filter((folder) => existsSync(path.join(root, folder))).flatMap(
    (folder) => listFiles(root, folder),
  );
  return [...ofRoot, ...ofFolders].map((file) => ({
    path: file,
    text: readFileSync(path.join(root, file), 'utf8'),
  }));
}

/** The files that the workspaces' package.json files export. */
export function readEntryPoints(root: string): Set<string> {
  const files = readWorkspaces(root).flatMap((workspace) => {
    const manifest = JSON.parse(
      readFileSync(path.join(root, workspace, 'package.json'), 'utf8'),
    ) as { exports?: Record<string, string> };
    return Object.values(manifest.exports ?? {}).map((file) => path.join(workspace, file));
  });
  return new Set(files);
}

/** In parts, so that this file does not name them itself. */
const REGISTRY_HOSTS = [
  ['registry', 'npmjs', 'org'],
  ['registry', 'yarnpkg', 'com'],
  ['npm', 'pkg', 'github', 'com'],
  ['pypi', 'org'],
  ['static', 'crates', 'io'],
  ['rubygems', 'org'],
  ['proxy', 'golang', 'org'],
  ['deb', 'debian', 'org'],
].map((parts) => parts.join('.'));

/** Where packages come from is the machine's setting, not the repository's. */
export function checkRegistryHosts(file: TextFile): Violation[] {
  const isLock = path.basename(file.path) === 'package-lock.json';
  return file.text.split('\n').flatMap((text, index) => {
    const host = REGISTRY_HOSTS.find((one) => text.includes(one));
    const resolved = isLock ? /"resolved": "(https?:[^"]+)"/.exec(text)?.[1] : undefined;
    const subject = host ?? resolved;
    if (subject === undefined) return [];
    const message = `names ${subject}: packages come from where the machine's npm and apt are told to look`;
    return [{ rule: 'registry-hosts', file: file.path, line: index + 1, subject, message }];
  });
}

/** Every workspace is in the code map. */
export function checkCodeMap(document: TextFile, workspaces: readonly string[]): Violation[] {
  return workspaces
    .filter(
      (workspace) =>
        !new RegExp(`(^|[\\s\`|(/])${workspace}/?([\\s\`|)]|$)`, 'm').test(document.text),
    )
    .map((workspace) => ({
      rule: 'code-map',
      file: document.path,
      line: 1,
      subject: workspace,
      message: `the code map does not name the workspace ${workspace}`,
    }));
}
