/**
 * Whether committed generated code is what its generator makes today. Generates into a temporary
 * directory and compares file by file; the checkout itself is not touched.
 */

import { existsSync, mkdtempDisposableSync, readFileSync, readdirSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

export interface Generation {
  readonly passed: boolean;
  readonly output: string;
  readonly note?: string;
}

function readTree(directory: string): Map<string, string> {
  if (!existsSync(directory)) return new Map();
  const files = readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.join(entry.parentPath, entry.name));
  return new Map(files.map((file) => [path.relative(directory, file), readFileSync(file, 'utf8')]));
}

/** One line for each file that is not the same in both trees. */
export function compareTrees(
  committed: ReadonlyMap<string, string>,
  fresh: ReadonlyMap<string, string>,
): string[] {
  const names = [...new Set([...committed.keys(), ...fresh.keys()])].toSorted();
  return names.flatMap((name) => {
    if (!committed.has(name)) return [`${name}: missing, the generator makes it`];
    if (!fresh.has(name)) return [`${name}: the generator no longer makes it`];
    return committed.get(name) === fresh.get(name) ? [] : [`${name}: differs`];
  });
}

/**
 * Compares the outputs named in `<zone>/buf.gen.yaml` with what buf generates now.
 * `runBuf` runs buf with these arguments.
 */
export async function compareGenerated(
  zone: string,
  runBuf: (args: readonly string[]) => Promise<Generation>,
): Promise<Generation> {
  const template = path.join(zone, 'buf.gen.yaml');
  if (!existsSync(template))
    return { passed: true, output: '', note: 'no buf.gen.yaml: nothing to do' };
  const outputs = [...readFileSync(template, 'utf8').matchAll(/^\s*(?:- )?out:\s*(\S+)\s*$/gm)].map(
    (match) => match[1] ?? '',
  );
  if (outputs.length === 0) return { passed: false, output: `${template} names no output (out:)` };

  using scratch = mkdtempDisposableSync(path.join(os.tmpdir(), 'onejob-generated-'));
  const generated = await runBuf(['generate', zone, '--template', template, '-o', scratch.path]);
  if (!generated.passed) return generated;
  const differences = outputs.flatMap((folder) =>
    compareTrees(readTree(path.join(zone, folder)), readTree(path.join(scratch.path, folder))).map(
      (line) => path.join(path.basename(zone), folder, line),
    ),
  );
  if (differences.length === 0) return { passed: true, output: '' };
  const remedy = `Generate anew: cd ${path.basename(zone)} && npx buf generate`;
  return { passed: false, output: [...differences, '', remedy].join('\n') };
}
