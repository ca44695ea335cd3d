/** The actions of other repositories that conformance cases use: a mirror of plain files. */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { ConformanceCase } from './case-file.ts';

export type ActionMirror = AsyncDisposable & { readonly directory: string };

/** @throws if two cases mean different files by the same action */
export function mirrorActions(cases: readonly ConformanceCase[]): ActionMirror {
  const directory = mkdtempSync(join(tmpdir(), 'onejob-conformance-'));
  const known = new Map<string, string>();
  for (const [name, files] of cases.flatMap(({ actions }) => Object.entries(actions))) {
    const text = JSON.stringify(files);
    if ((known.get(name) ?? text) !== text) throw new Error(`two cases have an action ${name}`);
    known.set(name, text);
    for (const [path, content] of Object.entries(files)) {
      const file = join(directory, name, path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, content);
    }
  }
  return {
    directory,
    [Symbol.asyncDispose]: async () => await rm(directory, { recursive: true, force: true }),
  };
}
