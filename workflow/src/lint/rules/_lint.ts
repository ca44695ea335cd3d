/** Shortest ways to what a rule finds, for tests. */
import { lintWorkflow } from '../lint-workflow.ts';

/** `line:column severity message` of one rule's findings. */
export function findings(rule: string, text: string): string[] {
  return lintWorkflow({ file: 'ci.yml', text })
    .filter((finding) => finding.rule === rule || finding.rule === 'invalid-workflow')
    .map(({ line, column, severity, message }) => `${line}:${column} ${severity} ${message}`);
}

/** A workflow whose job `a` has these lines; the first is line 5 of the file. */
export const job = (...lines: string[]): string =>
  [
    'on: push',
    'jobs:',
    '  a:',
    '    runs-on: linux',
    ...lines.map((line) => `    ${line}`),
    '',
  ].join('\n');
