/**
 * Finds and reads the metadata file of an action. The parser is loaded with the first one: it is
 * large, and most jobs need none.
 */
import { existsSync } from 'node:fs';
import { join, relative } from 'node:path';
import type { SecretMasker } from '@onejob/masking';
import { ACTION_FILE_BYTES } from '@onejob/protocol/limits';
import type { ActionManifest } from '@onejob/workflow/parse-action';
import { GuestError } from '../errors.ts';
import { ToldFailure } from '../job/perform.ts';
import { readSmallFile } from '../matchers/small-file.ts';
import type { Complain } from './load-action.ts';

const NAMES = ['action.yml', 'action.yaml'];
const UNSAID = 'What is wrong here is not said, because the file holds a secret.';

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
  { workspace, masker, complain }: { workspace: string; masker: SecretMasker; complain: Complain },
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
  const text = readSmallFile(path, ACTION_FILE_BYTES);
  const { parseAction } = await import('@onejob/workflow/parse-action');
  const parsed = await parseAction({ file, text });
  if (parsed.ok) return parsed.manifest;
  // A problem quotes parts of the file, and may cut them: masking would not know those of a secret.
  const isOpen = !masker.containsSecret(text);
  const problems = parsed.problems.map((one) => (isOpen ? one : { ...one, message: UNSAID }));
  for (const { line, column, message } of problems) {
    complain(`${file} (Line: ${line}, Col: ${column}): ${message}`);
  }
  const [first] = problems;
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
