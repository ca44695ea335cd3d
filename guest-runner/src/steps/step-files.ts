/**
 * The files a step talks to the runner through (GITHUB_ENV, GITHUB_PATH, GITHUB_OUTPUT,
 * GITHUB_STATE, GITHUB_STEP_SUMMARY): made empty before it, read and removed after it.
 */
import {
  closeSync,
  mkdirSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { JsonObject } from '@onejob/protocol';
import { STEP_SUMMARY_BYTES } from '@onejob/protocol/limits';
import { GuestError } from '../errors.ts';
import { FILE_COMMAND_BYTES } from '../limits.ts';
import { parsePaths, readKeyValues, whyNotVariable } from './file-command.ts';

const VARIABLES = {
  GITHUB_ENV: 'env',
  GITHUB_PATH: 'path',
  GITHUB_OUTPUT: 'output',
  GITHUB_STATE: 'state',
  GITHUB_STEP_SUMMARY: 'step_summary',
} as const;
/** As GitHub's sentence ends. */
const SUMMARY_HELP =
  'For more information see: https://docs.github.com/actions/using-workflows/' +
  'workflow-commands-for-github-actions#adding-a-markdown-summary';
type FileVariable = keyof typeof VARIABLES;

export type StepFileResults = {
  variables: [string, string][];
  paths: string[];
  outputs: [string, string][];
  states: [string, string][];
  summary: string;
  /** Sentences for the log, each makes the step fail. */
  problems: string[];
  /** The same, and the step goes on: what they tell was left out. */
  errors: string[];
};

export class StepFiles {
  /** Names and paths, for the step's environment. */
  readonly environment: Record<FileVariable, string>;

  /** The same paths as the `github` context has them: `github.output` and so on. */
  readonly github: JsonObject;

  /** `key` tells the files of one step from those of another. */
  constructor(directory: string, key: string) {
    const folder = join(directory, '_runner_file_commands');
    mkdirSync(folder, { recursive: true });
    const path = (name: FileVariable): string => join(folder, `${VARIABLES[name]}_${key}`);
    this.environment = {
      GITHUB_ENV: path('GITHUB_ENV'),
      GITHUB_PATH: path('GITHUB_PATH'),
      GITHUB_OUTPUT: path('GITHUB_OUTPUT'),
      GITHUB_STATE: path('GITHUB_STATE'),
      GITHUB_STEP_SUMMARY: path('GITHUB_STEP_SUMMARY'),
    };
    this.github = Object.fromEntries(
      Object.entries(VARIABLES).map(([name, kind]) => [
        kind,
        this.environment[name as FileVariable],
      ]),
    );
    for (const file of Object.values(this.environment)) closeSync(openSync(file, 'w', 0o600));
  }

  /** @param explain gives an error's sentence as it may be shown */
  read(explain: (error: unknown) => string): StepFileResults {
    const results: StepFileResults = {
      variables: [],
      paths: [],
      outputs: [],
      states: [],
      summary: '',
      problems: [],
      errors: [],
    };
    const each = (name: FileVariable, take: (text: string) => void): void => {
      try {
        const text = this.text(name);
        if (text !== '') take(text);
      } catch (error) {
        const kind = VARIABLES[name];
        results.problems.push(`Unable to process file command '${kind}' successfully.`);
        results.problems.push(explain(error));
      }
    };
    each('GITHUB_ENV', (text) => {
      for (const pair of readKeyValues(text)) {
        const why = whyNotVariable(pair[0], 'GITHUB_ENV');
        if (why === undefined) results.variables.push(pair);
        else results.errors.push(why);
      }
    });
    each('GITHUB_PATH', (text) => (results.paths = parsePaths(text)));
    each('GITHUB_OUTPUT', (text) => {
      for (const pair of readKeyValues(text)) results.outputs.push(pair);
    });
    each('GITHUB_STATE', (text) => {
      for (const pair of readKeyValues(text)) results.states.push(pair);
    });
    try {
      results.summary = this.text('GITHUB_STEP_SUMMARY');
    } catch (error) {
      results.errors.push(explain(error));
    }
    return results;
  }

  remove(): void {
    for (const file of Object.values(this.environment))
      rmSync(file, { recursive: true, force: true });
  }

  private text(name: FileVariable): string {
    const path = this.environment[name];
    const stat = statSync(path, { throwIfNoEntry: false });
    if (stat === undefined || stat.size === 0) return '';
    if (!stat.isFile()) throw new GuestError('step', `$${name} is not a file any more`);
    const isSummary = name === 'GITHUB_STEP_SUMMARY';
    const limitBytes = isSummary ? STEP_SUMMARY_BYTES : FILE_COMMAND_BYTES;
    if (stat.size > limitBytes) {
      const sizes = `${limitBytes / 1024}k, got ${Math.floor(stat.size / 1024)}k`;
      throw new GuestError(
        'step',
        isSummary
          ? `$${name} upload aborted, supports content up to a size of ${sizes}. ${SUMMARY_HELP}`
          : `$${name} supports content up to a size of ${sizes}`,
      );
    }
    return readFileSync(path, 'utf8');
  }
}

/** Writes a script or payload that only the job's user may read. */
export function writePrivate(path: string, text: string): void {
  writeFileSync(path, text, { mode: 0o600 });
}
