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

/**
 * The arguments of a template, cut as .NET does it for a program on Linux: at blanks outside of double
 * quotes; `\"` is a quote, and inside of quotes `""` is one; a backslash before anything else is itself.
 */
export function splitArguments(template: string): string[] {
  const found: string[] = [];
  let current: string | undefined;
  let isQuoted = false;
  for (let at = 0; at < template.length; at++) {
    const char = template[at]!;
    if (char === '\\') {
      const [slashes = ''] = /^\\+/.exec(template.slice(at)) ?? [];
      const isBeforeQuote = template[at + slashes.length] === '"';
      const isOdd = slashes.length % 2 === 1;
      const kept = isBeforeQuote ? slashes.slice(0, slashes.length >> 1) : slashes;
      current = (current ?? '') + kept + (isBeforeQuote && isOdd ? '"' : '');
      at += slashes.length - (isBeforeQuote && isOdd ? 0 : 1);
    } else if (char === '"') {
      current ??= '';
      const isDoubled = isQuoted && template[at + 1] === '"';
      if (isDoubled) current += template[++at]!;
      else isQuoted = !isQuoted;
    } else if ((char === ' ' || char === '\t') && !isQuoted) {
      if (current !== undefined) found.push(current);
      current = undefined;
    } else {
      current = (current ?? '') + char;
    }
  }
  return current === undefined ? found : [...found, current];
}

/** As the template has it. */
const quoteSpaces = (word: string): string => (word.includes(' ') ? `"${word}"` : word);

/**
 * Puts the script's path in, as .NET's `string.Format` does it: `{0}` is the path, `{{` and `}}` are braces.
 * @throws GuestError `step`: another brace
 */
export const fillIn = (argument: string, path: string): string =>
  argument.replaceAll(/\{\{|\}\}|\{0\}|[{}]/g, (found) => {
    if (found === '{0}') return path;
    if (found.length === 2) return found[0]!;
    throw new GuestError(
      'step',
      `Invalid shell option: in '${argument}' only {0} may stand in braces; a brace itself is {{ or }}.`,
    );
  });

/**
 * @param wanted null: the workflow names none
 * @throws GuestError `step`: not a shell, or not installed
 */
export function resolveShell(wanted: string | null, searchPath: string, directory: string): Shell {
  const builtIn = wanted === null ? DEFAULT : BUILT_IN.get(wanted.trim().toLowerCase());
  const words = wanted === null || builtIn ? [] : splitArguments(wanted);
  if (!builtIn && (words.length < 2 || !wanted?.includes('{0}'))) {
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
      display: [program, ...args.map(quoteSpaces)].join(' '),
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
