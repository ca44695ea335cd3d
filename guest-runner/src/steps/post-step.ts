/** What an action wants done when the steps of the job are over. */
import type { CompiledStep, ExprNode } from '@onejob/protocol';
import type { StepRun } from './step-run.ts';

export type PostStep = {
  /** Whose post part it is. */
  step: CompiledStep;
  /** What people see: `Post Run actions/checkout@v4`. */
  name: string;
  condition: ExprNode;
  /**
   * @param files variables that name the files of the step
   * @returns the exit code of its process, if it has one; throws what makes it fail
   */
  act(run: StepRun, files: Record<string, string>): Promise<number | void>;
};
