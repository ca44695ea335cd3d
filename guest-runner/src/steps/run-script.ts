/** Runs a `run:` step: header in the log, script file, shell, exit code. */
import { rmSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { evaluateTemplate, toText } from '@onejob/workflow/evaluate';
import type { EvaluationScope } from '@onejob/workflow/evaluate';
import type { RunStep, Template } from '@onejob/protocol';
import { fillIn, resolveShell } from './shell.ts';
import type { StepRun } from './step-run.ts';
import { writePrivate } from './step-files.ts';

/** What people see of a step without a name: the first line that says something. */
export function scriptTitle(script: string): string {
  const [first = ''] = script.replace(/^[ \t\r\n]+/, '').split(/[\r\n]/, 1);
  return `Run ${first}`;
}

function textOf(template: Template, scope: EvaluationScope): string | null {
  const value = evaluateTemplate(template, scope);
  const text = value === null ? '' : toText(value);
  return text.trim() === '' ? null : text;
}

function logHeader(run: StepRun, script: string, shell: string): void {
  const lines = script.replaceAll('\r\n', '\n').replace(/\n+$/, '').split('\n');
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
  run.debug('Loading inputs');
  const script = textOf(step.script, scope) ?? '';
  const { defaults } = run.frame.parts;
  const ownShell = textOf(step.shell, scope);
  const wanted = ownShell ?? textOf(defaults.shell, scope);
  const ownFolder = textOf(step.workingDirectory, scope);
  const folder = ownFolder ?? textOf(defaults.workingDirectory, scope);
  run.debug('Loading env');
  const directory = folder === null ? layout.workspace : resolve(layout.workspace, folder);
  const shell = resolveShell(wanted, job.searchPath(run.env), directory);
  logHeader(run, script, shell.display);
  if (ownFolder !== folder) run.debug("Overwrite 'working-directory' base on job defaults.");
  if (ownShell !== wanted) run.debug("Overwrite 'shell' base on job defaults.");

  const file = join(layout.temp, `onejob-step-${run.fileKey}${shell.extension}`);
  writePrivate(file, shell.wrap(script));
  try {
    const args = shell.args.map((arg) => fillIn(arg, file));
    run.debug([shell.program, ...args].join(' '));
    return await run.runProcess({ program: shell.program, args, directory, environment });
  } finally {
    rmSync(file, { force: true });
  }
}
