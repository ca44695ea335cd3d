/**
 * Which test files there are, and how each is run. The name decides: `x.test.ts` runs beside others,
 * `x.vm.test.ts` after them (it boots machines, each of which takes a core), `x.long.test.ts` alone and
 * only when asked for.
 */

import { readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';

export type TestKind = 'parallel' | 'machines' | 'long';

export interface TestFile {
  /** Relative to the checkout, with forward slashes. */
  readonly path: string;
  readonly kind: TestKind;
}

/** The workspaces of the checkout at `root`, as its package.json lists them. */
export function readWorkspaces(root: string): readonly string[] {
  const manifest: unknown = JSON.parse(readFileSync(path.join(root, 'package.json'), 'utf8'));
  const workspaces =
    typeof manifest === 'object' && manifest !== null && 'workspaces' in manifest
      ? manifest.workspaces
      : undefined;
  if (!Array.isArray(workspaces)) throw new Error(`${root}/package.json lists no workspaces`);
  return workspaces.map(String);
}

/** All files below `folder` (relative to `root`), sorted, without dependencies and hidden folders. */
export function listFiles(root: string, folder: string): string[] {
  const found: string[] = [];
  const visit = (relative: string): void => {
    for (const entry of readdirSync(path.join(root, relative), { withFileTypes: true })) {
      if (entry.name === 'node_modules' || entry.name.startsWith('.')) continue;
      const inner = `${relative}/${entry.name}`;
      if (entry.isDirectory()) visit(inner);
      else if (entry.isFile()) found.push(inner);
    }
  };
  visit(folder);
  return found.toSorted();
}

/** The kind of a test file, or undefined if the name is not that of a test. */
function kindOf(file: string): TestKind | undefined {
  if (!/\.test\.(ts|mjs)$/.test(file)) return undefined;
  const marks = path.basename(file).split('.');
  if (marks.includes('long')) return 'long';
  return marks.includes('vm') ? 'machines' : 'parallel';
}

/** The test files of all workspaces; with `patterns` only those whose path contains one of them. */
export function findTestFiles(root: string, patterns: readonly string[]): TestFile[] {
  const wanted = patterns.map((pattern) => pattern.replace(/^\.\//, ''));
  return readWorkspaces(root)
    .flatMap((workspace) => listFiles(root, workspace))
    .flatMap((file) => {
      const kind = kindOf(file);
      return kind === undefined ? [] : [{ path: file, kind }];
    })
    .filter((file) => wanted.length === 0 || wanted.some((text) => file.path.includes(text)));
}
