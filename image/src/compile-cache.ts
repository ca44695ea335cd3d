/**
 * V8's compile cache of the guest runner's bundle, made at build time by the Node that will read it.
 *
 * The same bundle and Node give the same bytes, on any host: V8 lays the cache out by its hash seed,
 * which `--random-seed` fixes and which is not among the flags that a cache must match.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { RunTool } from './tool.ts';

const WRITER = join(import.meta.dirname, 'write-compile-cache.ts');
const NODE_FLAGS: readonly string[] = ['--random-seed=1'];

/** What decides the bytes beside bundle, Node, and the modules the guest's start program shares. */
export async function compileCacheInputs(): Promise<readonly string[]> {
  return [await readFile(WRITER, 'utf8'), ...NODE_FLAGS];
}

export async function writeCompileCache(
  run: RunTool,
  paths: { node: string; bundle: string; target: string },
): Promise<void> {
  const { node, bundle, target } = paths;
  // without variables: NODE_OPTIONS of whoever builds would be in the cache
  const command = ['env', '-i', node, ...NODE_FLAGS, WRITER, bundle, target] as const;
  await run({ step: 'root', command });
}
