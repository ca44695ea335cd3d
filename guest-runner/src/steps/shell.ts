/**
 * GitHub's shells: which program runs a script and with which arguments
 * ("jobs.<job_id>.steps[*].shell").
 */
import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, isAbsolute, join, resolve } from 'node:path';
import { GuestError } from '../errors.ts';

export type Shell = {
  /** Absolute path. */
  program: string;
  /** `{0}` stands for the script. */
  args: string[];
  /** With the dot; empty for programs that are no built-in shell. */
  extension: string;
  /** As the log shows it. */
  display: string;
  /** What the shell's script file begins and ends with. */
  wrap: (script: string) => string;
};

const asIs = (script: string): string => script;

/** GitHub's: stop at the first error, and the exit code is that of the last program. */
const wrapPwsh = (script: string): string =>
  `$ErrorActionPreference = 'stop'\n${script}\n` +
  'if ((Test-Path -LiteralPath variable:\\LASTEXITCODE)) { exit $LASTEXITCODE }\n';

type BuiltIn = { programs: string[]; args: string[]; extension: string; wrap?: Shell['wrap'] };

const BUILT_IN = new Map<string, BuiltIn>([
  [
    'bash',
    {
      programs: ['bash'],
      args: ['--noprofile', '--norc', '-e', '-o', 'pipefail', '{0}'],
      extension: '.sh',
    },
  ],
  ['sh', { programs: ['sh'], args: ['-e', '{0}'], extension: '.sh' }],
  ['python', { programs: ['python', 'python3'], args: ['{0}'], extension: '.py' }],
  [
    'pwsh',
    { programs: ['pwsh'], args: ['-command', ". '{0}'"], extension: '.ps1', wrap: wrapPwsh },
  ],
]);
/** When the workflow names none: bash if it is there, else sh; both only with `-e`. */
const DEFAULT: BuiltIn = { programs: ['bash', 'sh'], args: ['-e', '{0}'], extension: '.sh' };

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/** The program's absolute path, looked up as a shell would. */
export function findProgram(
  name: string,
  searchPath: string,
  directory: string,
): string | undefined {
  if (name.includes('/')) {
    const path = isAbsolute(name) ? name : resolve(directory, name);
    return isExecutable(path) ? path : undefined;
  }
  for (const folder of searchPath.split(delimiter)) {
    const path = join(folder || '.', name);
    if (isAbsolute(path) && isExecutable(path)) return path;
  }
  return undefined;
}

/** Words of a template, with double quotes around those that hold spaces. */
export function splitWords(template: string): string[] {
  const words: string[] = [];
  for (const match of template.matchAll(/(?:[^\s"]|"[^"]*")+/g)) {
    words.push(match[0].replaceAll('"', ''));
  }
  return words;
}

/**
 * @param wanted null: the workflow names none
 * @throws GuestError `step`: not a shell, or not installed
 */
export function resolveShell(wanted: string | null, searchPath: string, directory: string): Shell {
  const builtIn = wanted === null ? DEFAULT : BUILT_IN.get(wanted.trim().toLowerCase());
  const words = wanted === null || builtIn ? [] : splitWords(wanted);
  if (!builtIn && (words.length < 2 || !words.some((word) => word.includes('{0}')))) {
    throw new GuestError(
      'step',
      `Invalid shell option '${wanted}'. Shell must be a valid built-in ` +
        `(bash, sh, python, pwsh) or a format string containing '{0}'`,
    );
  }
  // The first word alone decides on the script file (ScriptHandlerHelpers.cs): `pwsh -File {0}` too.
  const kind = builtIn ?? BUILT_IN.get(words[0]!.toLowerCase());
  const programs = builtIn?.programs ?? [words[0]!];
  const args = builtIn?.args ?? words.slice(1);
  for (const name of programs) {
    const program = findProgram(name, searchPath, directory);
    if (program === undefined) continue;
    return {
      program,
      args,
      extension: kind?.extension ?? '',
      display: [program, ...args].join(' '),
      wrap: kind?.wrap ?? asIs,
    };
  }
  throw new GuestError(
    'step',
    `The shell '${wanted ?? 'bash'}' is not installed here: ${programs.join(' or ')} was not found ` +
      'in PATH. Install it in a step before this one, or use another shell.',
    { quotedFrom: wanted ?? '' },
  );
}
