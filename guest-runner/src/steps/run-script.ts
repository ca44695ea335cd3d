/** Runs a `run:` step: header in the log, script file, shell, exit code. */
import { rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { evaluateTemplate, toText } from '@onejob/workflow/evaluate';
import type { EvaluationScope } from '@onejob/workflow/evaluate';
import type { RunStep, Template } from '@onejob/protocol';
import { resolveShell } from './shell.ts';
import type { StepRun } from './step-run.ts';
import { writePrivate } from './step-files.ts';

/** What people see of a step without a name. */
export function scriptTitle(script: string): string {
  return `Run ${script.trimStart().split('\n', 1)[0]!.trimEnd()}`;
}

function textOf(template: Template, scope: EvaluationScope): string | null {
  const value = evaluateTemplate(template, scope);
  const text = value === null ? '' : toText(value);
  return text.trim() === '' ? null : text;
}

function logHeader(run: StepRun, script: string, shell: string): void {
  const lines = script.replace(/\n$/, '').split('\n');
  run.log.line(`##[group]${scriptTitle(script)}`);
  for (const line of lines) run.log.line(`\u001b[36;1m${line}\u001b[0m`);
  run.log.line(`shell: ${shell}`);
  logEnvironment(run);
  run.log.line('##[endgroup]');
}

export function logEnvironment(run: StepRun): void {
  const entries = Object.entries(run.env);
  if (entries.length === 0) return;
  run.log.line('env:');
  for (const [name, value] of entries) run.log.line(`  ${name}: ${value}`);
}

/**
 * @returns the shell's exit code
 * @throws GuestError `step`: it could not be started; EvaluationError
 */
export async function runScript(
  run: StepRun,
  step: RunStep,
  environment: Record<string, string>,
): Promise<number> {
  const { job } = run;
  const { layout } = job.parts;
  const { scope } = run;
  const script = textOf(step.script, scope) ?? '';
  const { defaults } = run.frame.parts;
  const wanted = textOf(step.shell, scope) ?? textOf(defaults.shell, scope);
  const folder = textOf(step.workingDirectory, scope) ?? textOf(defaults.workingDirectory, scope);
  const directory = folder === null ? layout.workspace : resolve(layout.workspace, folder);
  const shell = resolveShell(wanted, job.searchPath(run.env), directory);
  logHeader(run, script, shell.display);

  const file = join(layout.temp, `onejob-step-${run.fileKey}${shell.extension}`);
  writePrivate(file, shell.wrap(script));
  try {
    const args = shell.args.map((arg) => arg.replaceAll('{0}', file));
    return await run.runProcess({ program: shell.program, args, directory, environment });
  } finally {
    rmSync(file, { force: true });
  }
}
