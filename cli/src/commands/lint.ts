/** `onejob lint`: what is wrong with workflow files, before anything runs them. Needs no platform. */
import { type Finding, lintWorkflow } from '@onejob/workflow/lint';
import { lintSources } from '../checkout/lint-sources.ts';
import { terminalStyle } from '../config/environment.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { painter, safeText, type Paint } from '../show/style.ts';

export type LintFlags = { strict: boolean; json: boolean };

export async function lint(paths: readonly string[], flags: LintFlags): Promise<ExitCode> {
  const sources = await lintSources(paths, process.stdin);
  const findings = sources.flatMap(lintWorkflow);
  if (flags.json) {
    const files = sources.map(({ file }) => file);
    process.stdout.write(`${JSON.stringify({ files, findings })}\n`);
  } else {
    const paint = painter(terminalStyle(process.stdout).color);
    for (const finding of findings) process.stdout.write(`${findingLine(finding, paint)}\n`);
    process.stderr.write(`${verdict(sources.length, findings)}\n`);
  }
  const counted = flags.strict ? findings : errorsOf(findings);
  return counted.length === 0 ? EXIT.success : EXIT.jobFailed;
}

const errorsOf = (findings: readonly Finding[]): Finding[] =>
  findings.filter(({ severity }) => severity === 'error');

/** `file:line:column: severity: sentence [rule]`, on one line. */
function findingLine(finding: Finding, paint: Paint): string {
  const { file, line, column, severity, message, rule } = finding;
  const place = paint('bold', safeText(`${file}:${line}:${column}:`, false));
  const kind = paint(severity === 'error' ? 'red' : 'yellow', `${severity}:`);
  const sentence = safeText(message.replaceAll(/\s*\n\s*/g, ' '), false);
  return `${place} ${kind} ${sentence} ${paint('dim', `[${rule}]`)}`;
}

function verdict(files: number, findings: readonly Finding[]): string {
  const errors = errorsOf(findings).length;
  const warnings = findings.length - errors;
  const found =
    findings.length === 0
      ? 'nothing found'
      : `${count(errors, 'error')}, ${count(warnings, 'warning')}`;
  return `${count(files, 'file')}: ${found}`;
}

const count = (number: number, what: string): string =>
  `${number} ${what}${number === 1 ? '' : 's'}`;
