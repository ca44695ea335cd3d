/**
 * Runs a script of a JavaScript action with the runner's own Node: the image has one, and it runs
 * what was written for the versions before it.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { GuestError } from '../errors.ts';
import { record } from '../job/record.ts';
import type { StepRun } from '../steps/step-run.ts';
import { resultsVariables } from './results-variables.ts';

const OWN_MAJOR = process.versions.node.split('.')[0]!;

/** Says it where the action asks for another Node than there is: before its pre part, and before main. */
export function tellNode({ log }: StepRun, using: string): void {
  if (using === `node${OWN_MAJOR}`) return;
  log.line(`The action asks for ${using}; this machine runs it with Node ${process.version}.`);
}

/** @throws GuestError `step`: the file is not there, or could not be started */
export async function runNode(
  run: StepRun,
  script: { directory: string; file: string },
  environment: Record<string, string>,
): Promise<number> {
  const path = join(script.directory, script.file);
  if (!existsSync(path)) throw new GuestError('step', `File not found: '${path}'`);
  // Of the job's own Node, not of the runner's.
  const { NODE_ICU_DATA: _, ...rest } = environment;
  const exitCode = await run.runProcess({
    program: process.execPath,
    args: [path],
    directory: run.job.parts.layout.workspace,
    environment: record({ ...rest, ...resultsVariables(run.job) }),
  });
  if (run.job.parts.runner.debug === '1') {
    run.log.line(`##[debug]Node Action run completed with exit code ${exitCode}`);
  }
  return exitCode;
}
