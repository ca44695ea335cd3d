/**
 * What is wrong inside a called workflow, as GitHub tells it: the place is that of the call, and the
 * sentence says where in the called file.
 *
 * Source: PrefixErrorsWithCallerInfo in ReusableWorkflowsLoader.cs of actions/runner, whose sentence
 * begins with the place: `In <file> (Line: 4, Col: 11): Error from called workflow ...`.
 */
import type { Position, Problem } from '@onejob/protocol';

/** @param caller where the call is written */
export function calledProblem(caller: { file: string; at: Position }, problem: Problem): Problem {
  const { file, line, column, message } = problem;
  const { line: callLine, column: callColumn } = caller.at;
  return {
    file: caller.file,
    line: callLine,
    column: callColumn,
    message: `Error from called workflow ${file} (Line: ${line}, Col: ${column}): ${message}`,
  };
}
