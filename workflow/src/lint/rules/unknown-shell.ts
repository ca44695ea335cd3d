/**
 * `unknown-shell`: a `shell` that is none of GitHub's built-in ones and no command line of its own,
 * which has `{0}` where the script's file goes. Such a step fails.
 */
import type { Template } from '@onejob/protocol';
import type { Found, LintInput, Rule } from '../finding.ts';
import type { Path } from '../places.ts';

const BUILT_IN = ['bash', 'sh', 'pwsh', 'powershell', 'cmd', 'python'];

export const unknownShell: Rule = {
  name: 'unknown-shell',
  check: (input) => {
    const { workflow } = input;
    return [
      ...checkShell(input, workflow.defaults.shell, ['defaults', 'run', 'shell']),
      ...workflow.jobs.flatMap((job) => [
        ...checkShell(input, job.defaults.shell, ['jobs', job.key, 'defaults', 'run', 'shell']),
        ...job.steps.flatMap((step) =>
          step.kind === 'run'
            ? checkShell(input, step.shell, ['jobs', job.key, 'steps', step.index, 'shell'])
            : [],
        ),
      ]),
    ];
  },
};

function checkShell({ places }: LintInput, shell: Template, path: Path): Found[] {
  if (typeof shell !== 'string' || shell === '') return [];
  if (BUILT_IN.includes(shell.toLowerCase()) || shell.includes('{0}')) return [];
  const message =
    `There is no shell '${shell}'. Built in are: ${BUILT_IN.join(', ')}; another one is a command ` +
    `line with {0} for the script's file: \`${shell} {0}\``;
  return [{ at: places.at(path), severity: 'error', message }];
}
