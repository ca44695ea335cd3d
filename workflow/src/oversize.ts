/** GitHub's sentence about a workflow file that is too large, and a way out, for whoever learns its size first. */
import type { Problem } from '@onejob/protocol';
import { WORKFLOW_FILE_CHARACTERS } from '@onejob/protocol/limits';

/** Source: YamlTemplateLoader.cs of actions/runner. */
export function oversizeProblem(file: string): Problem {
  const message =
    `The maximum file size of ${WORKFLOW_FILE_CHARACTERS} characters has been exceeded. ` +
    'Split it into several workflows, or move long scripts into files of the repository';
  return { file, line: 1, column: 1, message };
}
