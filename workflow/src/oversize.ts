/** The sentence about a workflow file that is too large, for whoever learns its size first. */
import type { Problem } from '@onejob/protocol';
import { WORKFLOW_FILE_BYTES } from '@onejob/protocol/limits';

/** @param bytes more than WORKFLOW_FILE_BYTES */
export function oversizeProblem(file: string, bytes: number): Problem {
  const message =
    `The workflow file has ${bytes} bytes; the maximum is ${WORKFLOW_FILE_BYTES} (1 MiB). ` +
    'Split it into several workflows, or move long scripts into files of the repository';
  return { file, line: 1, column: 1, message };
}
