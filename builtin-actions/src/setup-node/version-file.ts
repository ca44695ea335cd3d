/**
 * Which version of Node a file asks for: package.json (Volta, `devEngines`, `engines`), .nvmrc,
 * .node-version, .tool-versions. Source: docs/advanced-usage.md of actions/setup-node.
 */
import { existsSync, readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { isObject, parseObject } from './json-object.ts';

/** Volta's files extend each other; a circle of them ends here. */
const EXTENDED_FILES = 10;

function versionOfManifest(manifest: Record<string, unknown>): string | undefined {
  const { devEngines, engines, volta } = manifest;
  if (isObject(volta) && typeof volta['node'] === 'string') return volta['node'];
  if (isObject(devEngines)) {
    const runtimes = [devEngines['runtime']].flat().filter(isObject);
    for (const { name, version } of runtimes) {
      const isNode = typeof name === 'string' && name.toLowerCase() === 'node';
      if (isNode && typeof version === 'string' && version !== '') return version;
    }
  }
  if (isObject(engines) && typeof engines['node'] === 'string') return engines['node'];
  return undefined;
}

/** The first line that is a version, with or without `node`, `nodejs` or `v` before it. */
function versionOfText(text: string): string {
  const found = /^(?:node(?:js)?\s+)?v?(?<version>[^\s]+)$/m.exec(text);
  return found?.groups?.['version'] ?? text.trim();
}

/**
 * Undefined: it is a package.json that names none.
 * @param path absolute
 * @throws Error: it is not there
 */
export function readVersionFile(path: string, depth = 0): string | undefined {
  if (!existsSync(path)) {
    throw new Error(`The specified node version file at: ${path} does not exist`);
  }
  const text = readFileSync(path, 'utf8');
  const manifest = parseObject(text);
  if (manifest === undefined) return versionOfText(text);
  const version = versionOfManifest(manifest);
  if (version !== undefined) return version;
  const { volta } = manifest;
  const base = isObject(volta) ? volta['extends'] : undefined;
  if (typeof base !== 'string') return undefined;
  if (depth >= EXTENDED_FILES) {
    throw new Error(`${path} extends more than ${EXTENDED_FILES} files, one after the other`);
  }
  return readVersionFile(resolve(dirname(path), base), depth + 1);
}
