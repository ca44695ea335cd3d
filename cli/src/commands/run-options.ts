/** What `onejob run` was asked to do, read from flags and files into one checked value. */
import { readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline/promises';
import { Writable } from 'node:stream';
import type { NetworkMode } from '@onejob/protocol';
import { environmentValue } from '../config/environment.ts';
import { CliError } from '../errors.ts';
import { parseSecrets } from './secret-file.ts';

/** As commander delivers it. */
export type RunFlags = {
  workflows: string[];
  job: string[];
  event: string;
  eventFile?: string;
  secret: string[];
  secretFile?: string;
  var: string[];
  env: string[];
  input: string[];
  matrix: string[];
  list: boolean;
  graph: boolean;
  dryRun: boolean;
  watch: boolean;
  json: boolean;
  driver: string;
  keep: boolean;
  image?: string;
  network?: NetworkMode;
};

export type RunOptions = {
  workflows: string[];
  jobs: string[];
  event: { name: string; payload: Record<string, unknown> | undefined };
  secrets: Record<string, string>;
  vars: Record<string, string>;
  env: Record<string, string>;
  inputs: Record<string, string>;
  matrix: Record<string, string[]>;
};

/** Is the plan all that is wanted, and nothing run? */
export const isPlanOnly = ({ list, graph, dryRun }: RunFlags): boolean => list || graph || dryRun;

const NAME = /^[A-Za-z_][A-Za-z0-9_-]*$/;

/** @param signal ends the wait for a secret that is asked for. */
export async function readRunOptions(flags: RunFlags, signal: AbortSignal): Promise<RunOptions> {
  if (flags.event === '') {
    throw new CliError('usage', '--event is empty. Name one, for example: --event pull_request');
  }
  if (flags.input.length > 0 && flags.event !== 'workflow_dispatch') {
    throw new CliError(
      'usage',
      `--input has no effect on "${flags.event}". Add: --event workflow_dispatch`,
    );
  }
  if (flags.watch && isPlanOnly(flags)) {
    throw new CliError('usage', '--watch runs jobs again; --list, --graph and --dry-run run none.');
  }
  return {
    workflows: flags.workflows,
    jobs: flags.job,
    event: {
      name: flags.event,
      payload: flags.eventFile === undefined ? undefined : await readPayload(flags.eventFile),
    },
    secrets: await readSecrets(flags, signal, isPlanOnly(flags)),
    vars: pairs('--var', flags.var),
    env: pairs('--env', flags.env),
    inputs: pairs('--input', flags.input),
    matrix: matrixFilter(flags.matrix),
  };
}

/** `NAME=value` words; a name alone takes its value from the user's environment. */
function pairs(flag: string, words: readonly string[]): Record<string, string> {
  return Object.fromEntries(words.map((word) => pair(flag, word)));
}

function pair(flag: string, word: string): [string, string] {
  const at = word.indexOf('=');
  const name = at < 0 ? word : word.slice(0, at);
  checkName(flag, name);
  const value = at < 0 ? environmentValue(name) : word.slice(at + 1);
  if (value === undefined) {
    throw new CliError(
      'usage',
      `${flag} ${name} has no value, and no variable of that name is set. Write ${flag} ${name}=value.`,
    );
  }
  return [name, value];
}

/** Says the name, never what may be a value typed in the wrong place. */
function checkName(flag: string, name: string): void {
  if (NAME.test(name)) return;
  throw new CliError(
    'usage',
    `${flag} ${name === '' ? '""' : name}: a name is letters, digits, "_" and "-", and does not begin with a digit.`,
  );
}

/** @param planOnly nobody is asked for what is not used */
export async function readSecrets(
  flags: Pick<RunFlags, 'secret' | 'secretFile'>,
  signal: AbortSignal,
  planOnly = false,
): Promise<Record<string, string>> {
  const file = flags.secretFile;
  const given = file === undefined ? {} : parseSecrets(file, await readText('--secret-file', file));
  for (const word of flags.secret) {
    if (word.includes('=')) {
      const [name, value] = pair('--secret', word);
      given[name] = value;
      continue;
    }
    checkName('--secret', word);
    given[word] = environmentValue(word) ?? (planOnly ? '' : await askFor(word, signal));
  }
  return given;
}

/** A secret that is neither on the command line nor in the environment is asked for, unseen. */
async function askFor(name: string, signal: AbortSignal): Promise<string> {
  if (!process.stdin.isTTY) {
    throw new CliError(
      'usage',
      `--secret ${name} has no value: set the variable ${name}, or use --secret-file.`,
    );
  }
  process.stderr.write(`Value of secret ${name} (not shown): `);
  const silent = new Writable({ write: (_chunk, _encoding, done) => done() });
  using input = createInterface({ input: process.stdin, output: silent, terminal: true });
  // The interface takes Ctrl-C from the terminal before it becomes a signal; Ctrl-D closes it.
  const closed = new AbortController();
  input.once('SIGINT', () => closed.abort()).once('close', () => closed.abort());
  try {
    return await input.question('', { signal: AbortSignal.any([signal, closed.signal]) });
  } catch (error) {
    throw new CliError('interrupted', `No value for secret ${name}.`, { cause: error });
  } finally {
    process.stderr.write('\n');
  }
}

/** `key:value` words; several for one key are alternatives. */
function matrixFilter(words: readonly string[]): Record<string, string[]> {
  const filter: Record<string, string[]> = {};
  for (const word of words) {
    const at = word.indexOf(':');
    if (at < 1) {
      throw new CliError('usage', `--matrix ${word}: write it as key:value, for example node:24.`);
    }
    (filter[word.slice(0, at)] ??= []).push(word.slice(at + 1));
  }
  return filter;
}

async function readPayload(file: string): Promise<Record<string, unknown>> {
  const text = await readText('--event-file', file);
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      return value as Record<string, unknown>;
    }
  } catch (error) {
    throw new CliError('file_unreadable', `--event-file ${file} is not JSON.`, { cause: error });
  }
  throw new CliError('file_unreadable', `--event-file ${file} holds no JSON object.`);
}

const UNREADABLE: Readonly<Record<string, string>> = {
  ENOENT: 'there is no such file',
  EISDIR: 'it is a directory',
  EACCES: 'you may not read it',
};

async function readText(flag: string, file: string): Promise<string> {
  return await readFile(file, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    const { code = cause.message } = cause;
    const message = `${flag} ${file} cannot be read: ${UNREADABLE[code] ?? code}.`;
    throw new CliError('file_unreadable', message, { cause });
  });
}
