/**
 * Finds and reads the metadata file of an action. The parser is loaded with the first one: it is
 * large, and most jobs need none.
 */
import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import { WORKFLOW_FILE_BYTES } from '@onejob/protocol/limits';
import type { ActionManifest } from '@onejob/workflow/parse-action';
import { GuestError } from '../errors.ts';
import { ToldFailure } from '../job/perform.ts';
import { readSmallFile } from '../matchers/small-file.ts';
import type { Complain } from './load-action.ts';

const NAMES = ['action.yml', 'action.yaml'];

/** A path as people know it: below the workspace where it is there. */
function shownPath(path: string, workspace: string): string {
  const below = relative(workspace, path);
  return below.startsWith('..') ? path : below;
}

/**
 * @param directory absolute
 * @throws GuestError `step`: there is none; ToldFailure: it is wrong, and `complain` was told why
 */
export async function readManifest(
  directory: string,
  { workspace, complain }: { workspace: string; complain: Complain },
): Promise<ActionManifest> {
  const name = NAMES.find((one) => existsSync(join(directory, one)));
  if (name === undefined) {
    if (existsSync(join(directory, 'Dockerfile'))) return dockerfileAction(directory);
    throw new GuestError(
      'step',
      `Can't find 'action.yml', 'action.yaml' or 'Dockerfile' under '${directory}'. ` +
        'Did you forget to run actions/checkout before running your local action?',
    );
  }
  const path = join(directory, name);
  const file = shownPath(path, workspace);
  const text = readSmallFile(path, WORKFLOW_FILE_BYTES);
  const { parseAction } = await import('@onejob/workflow/parse-action');
  const parsed = await parseAction({ file, text });
  if (parsed.ok) return parsed.manifest;
  for (const { line, column, message } of parsed.problems) {
    complain(`${file} (Line: ${line}, Col: ${column}): ${message}`);
  }
  const [first] = parsed.problems;
  const why =
    first === undefined ? '' : `: ${file}:${first.line}:${first.column}: ${first.message}`;
  complain(`Failed to load ${file}`);
  throw new ToldFailure(`Failed to load ${file}${why}`);
}

const dockerfileAction = (directory: string): ActionManifest => ({
  file: join(directory, 'Dockerfile'),
  name: '',
  inputs: [],
  outputs: [],
  runs: { kind: 'docker' },
});
