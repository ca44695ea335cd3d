/**
 * Does what the workflow commands of one step ask for, with GitHub's sentences. A problem makes
 * the step fail (`hasFailed`), as there.
 */
import type { Annotation } from '@onejob/protocol';
import { COMMAND_NAMES, parseCommand } from './command.ts';
import type { Command } from './command.ts';
import { whyNotVariable } from './file-command.ts';

export type CommandEffects = {
  /** A line in the step's log. */
  line(text: string): void;
  /** Shown where the job asks for debug logging. */
  debug(message: string): void;
  annotate(annotation: Annotation): void;
  /** @throws if the value cannot be masked */
  addMask(value: string): void;
  /** A mask was asked for and cannot be known: nothing more may be shown. */
  loseMask(): void;
  setOutput(name: string, value: string): void;
  saveState(name: string, value: string): void;
  /** A variable and a place in PATH for later steps. */
  setVariable(name: string, value: string): void;
  addPath(path: string): void;
  /** Of the step's `env` context. */
  variable(name: string): string | undefined;
  /** Each gives the owners of the matchers it added or removed. @throws if the file is wrong */
  matchers: {
    add(path: string): string[];
    removeFile(path: string): string[];
    removeOwner(owner: string): string[];
  };
  showDebug: boolean;
  /** A text without secrets, whole: what is cut from it shows no part of one. */
  mask(text: string): string;
  /** An error's sentence as it may be shown; it may quote parts of the line. */
  explain(error: unknown, line: string): string;
  /** Files below it are told from there. */
  workspace: string;
};

const OLD_COMMANDS =
  'is deprecated and will be disabled soon. Please upgrade to using Environment Files. ' +
  'For more information see: https://github.blog/changelog/' +
  '2022-10-11-github-actions-deprecating-save-state-and-set-output-commands/';

/** Commands whose own line is not echoed: they make one themselves, or hold what nobody may see. */
const NOT_ECHOED = new Set(['add-mask', 'debug', 'error', 'notice', 'warning']);

/** Commands that do nothing but show what they hold. */
const SHOWN = new Set(['debug', 'error', 'group', 'notice', 'warning']);

const NUMBERS: Record<string, 'line' | 'endLine' | 'column' | 'endColumn'> = {
  line: 'line',
  endline: 'endLine',
  col: 'column',
  endcolumn: 'endColumn',
};

const WHOLE_NUMBER = /^\d{1,9}$/;

/**
 * Makes a command's place one that a file can have, as GitHub does: an end alone is the beginning too,
 * columns need a line and are of one line, and no end comes before its beginning.
 */
function mendPlace(properties: Map<string, string>): void {
  const has = (name: string): boolean => WHOLE_NUMBER.test(properties.get(name) ?? '');
  const copy = (from: string, to: string): void => {
    if (has(from) && !has(to)) properties.set(to, properties.get(from) ?? '');
  };
  const drop = (...names: string[]): void => names.forEach((name) => properties.delete(name));
  const isReversed = (start: string, end: string): boolean =>
    has(start) && has(end) && Number(properties.get(end)) < Number(properties.get(start));
  copy('endline', 'line');
  copy('endcolumn', 'col');
  const spansLines = has('endline') && properties.get('line') !== properties.get('endline');
  if (!has('line') || spansLines) drop('col', 'endcolumn');
  if (isReversed('line', 'endline')) drop('line', 'endline');
  if (isReversed('col', 'endcolumn')) drop('col', 'endcolumn');
}

function toAnnotation(level: Annotation['level'], command: Command, workspace: string): Annotation {
  mendPlace(command.properties);
  const annotation: Annotation = { level, message: command.data };
  const title = command.properties.get('title');
  const file = command.properties.get('file');
  if (title) annotation.title = title;
  if (file)
    annotation.file = file.startsWith(`${workspace}/`) ? file.slice(workspace.length + 1) : file;
  for (const [name, key] of Object.entries(NUMBERS)) {
    const value = command.properties.get(name);
    if (value !== undefined && WHOLE_NUMBER.test(value)) annotation[key] = Number(value);
  }
  return annotation;
}

export class StepCommands {
  hasFailed = false;
  private readonly effects: CommandEffects;
  private stopToken: string | undefined;
  private echo: boolean;

  constructor(effects: CommandEffects) {
    this.effects = effects;
    this.echo = effects.showDebug;
  }

  /** Takes a line of output. False: it is text. */
  take(line: string): boolean {
    if (this.stopToken !== undefined) return this.resume(line);
    const command = parseCommand(line);
    if (command === undefined) return false;
    // Whether commands are obeyed is always shown.
    const isEchoed = this.echo && !NOT_ECHOED.has(command.name) && command.name !== 'stop-commands';
    if (isEchoed) this.effects.line(line);
    try {
      this.process(this.masked(command, line), line);
    } catch (error) {
      const shown = NOT_ECHOED.has(command.name) ? command.name : line;
      this.problem(`Unable to process command '${shown}' successfully.`);
      this.problem(this.effects.explain(error, line));
      this.hasFailed = true;
    }
    return true;
  }

  /** A line that adds a mask is too long to be read. False: commands are stopped, it is text. */
  takeLongMask(): boolean {
    if (this.stopToken !== undefined) return false;
    this.effects.loseMask();
    this.hasFailed = true;
    return true;
  }

  /**
   * What is only shown is cut from the masked line: a comma in a secret would end a property. A line that is
   * the command no more, since a sign in a secret made it one, is shown masked and whole.
   */
  private masked(command: Command, line: string): Command {
    if (!SHOWN.has(command.name)) return command;
    const masked = this.effects.mask(line);
    if (masked === line) return command;
    const again = parseCommand(masked);
    if (again?.name === command.name) return again;
    return { ...command, properties: new Map(), data: masked };
  }

  private problem(message: string): void {
    this.effects.line(`##[error]${message}`);
    this.effects.annotate({ level: 'error', message });
  }

  private resume(line: string): boolean {
    const token = this.stopToken?.toLowerCase();
    // Nothing starts commands again that an empty token has stopped.
    if (token === '' || parseCommand(line, (name) => name === token) === undefined) return false;
    this.stopToken = undefined;
    this.effects.line(line);
    this.effects.debug('Resume processing commands');
    return true;
  }

  private process(command: Command, line: string): void {
    switch (command.name) {
      case 'add-mask':
        return this.addMask(command.data);
      case 'debug':
        return this.effects.debug(command.data);
      case 'notice':
      case 'warning':
      case 'error':
        this.effects.line(`##[${command.name}]${command.data}`);
        return this.effects.annotate(toAnnotation(command.name, command, this.effects.workspace));
      case 'group':
        return this.effects.line(`##[group]${command.data}`);
      case 'endgroup':
        return this.effects.line('##[endgroup]');
      case 'echo':
        return this.setEcho(command.data);
      case 'stop-commands':
        return this.stop(command.data, line);
      case 'set-output':
        return this.setOutput(command);
      case 'save-state':
        return this.saveState(command);
      case 'add-matcher':
        return this.addMatcher(command.data);
      case 'remove-matcher':
        return this.removeMatcher(command);
      case 'set-env':
        return this.setEnv(command);
      case 'add-path':
        return this.addPath(command);
    }
  }

  /** What the workflow asks for by a variable. */
  private isTrue(variable: string): boolean {
    return this.effects.variable(variable)?.trim().toLowerCase() === 'true';
  }

  private requireUnsecure(name: string): void {
    if (this.isTrue('ACTIONS_ALLOW_UNSECURE_COMMANDS')) return;
    throw new Error(
      `The \`${name}\` command is disabled. Please upgrade to using Environment Files or opt into ` +
        'unsecure command execution by setting the `ACTIONS_ALLOW_UNSECURE_COMMANDS` environment ' +
        'variable to `true`. For more information see: https://github.blog/changelog/' +
        '2020-10-01-github-actions-deprecating-set-env-and-add-path-commands/',
    );
  }

  private setEnv(command: Command): void {
    this.requireUnsecure(command.name);
    const name = requireName(command);
    if (whyNotVariable(name, 'GITHUB_ENV') === undefined) {
      return this.effects.setVariable(name, command.data);
    }
    this.problem(
      `Can't update ${name.toUpperCase()} environment variable using ::set-env:: command.`,
    );
  }

  private addPath(command: Command): void {
    this.requireUnsecure(command.name);
    if (command.data === '') throw new Error("Value cannot be empty. (Parameter 'path')");
    this.effects.addPath(command.data);
  }

  private warn(message: string): void {
    this.effects.line(`##[warning]${message}`);
    this.effects.annotate({ level: 'warning', message });
  }

  private addMask(value: string): void {
    if (value.trim() === '') {
      return this.warn("Can't add secret mask for empty string in ##[add-mask] command.");
    }
    this.effects.addMask(value);
    if (this.echo) this.effects.line('::add-mask::***');
  }

  private addMatcher(path: string): void {
    if (path === '') return this.warn('File path must be specified.');
    const owners = this.effects.matchers.add(path);
    if (owners.length === 0) return;
    this.effects.debug(
      `Added matchers: ${quoted(owners)}. Problem matchers scan action output for known warning ` +
        'or error strings and report these inline.',
    );
  }

  private removeMatcher(command: Command): void {
    const { matchers } = this.effects;
    const owner = command.properties.get('owner') ?? '';
    const path = command.data;
    if (owner !== '' && path !== '') {
      return this.warn(
        'Either specify an owner name or a file path in ##[remove-matcher] command. ' +
          'Both values cannot be set.',
      );
    }
    if (owner === '' && path === '') {
      return this.warn(
        'Either an owner name or a file path must be specified in ##[remove-matcher] command.',
      );
    }
    const removed = owner === '' ? matchers.removeFile(path) : matchers.removeOwner(owner);
    this.effects.debug(`Removed matchers: ${quoted(removed)}`);
  }

  private setEcho(data: string): void {
    const wanted = data.trim().toUpperCase();
    if (wanted !== 'ON' && wanted !== 'OFF') {
      throw new Error(
        `Invalid echo command value. Possible values can be: 'on', 'off'. Current value is: '${data}'.`,
      );
    }
    this.echo = wanted === 'ON';
    this.effects.debug(`Setting echo command value to '${wanted.toLowerCase()}'`);
  }

  private stop(token: string, line: string): void {
    const name = token.toLowerCase();
    const isNoToken = name === '' || name === 'pause-logging' || COMMAND_NAMES.has(name);
    if (isNoToken && !this.isTrue('ACTIONS_ALLOW_UNSECURE_STOPCOMMAND_TOKENS')) {
      throw new Error(
        "You cannot use a endToken that is an empty string, the string 'pause-logging', or another " +
          'workflow command. For more information see: https://docs.github.com/actions/' +
          'learn-github-actions/workflow-commands-for-github-actions' +
          '#example-stopping-and-starting-workflow-commands or opt into insecure command execution ' +
          'by setting the `ACTIONS_ALLOW_UNSECURE_STOPCOMMAND_TOKENS` environment variable to `true`.',
      );
    }
    this.stopToken = token;
    this.effects.line(line);
  }

  private saveState(command: Command): void {
    const name = requireName(command);
    this.warn(`The \`save-state\` command ${OLD_COMMANDS}`);
    this.effects.saveState(name, command.data);
  }

  private setOutput(command: Command): void {
    const name = requireName(command);
    this.warn(`The \`set-output\` command ${OLD_COMMANDS}`);
    this.effects.setOutput(name, command.data);
  }
}

const quoted = (names: string[]): string => names.map((name) => `'${name}'`).join(', ');

function requireName(command: Command): string {
  const name = command.properties.get('name');
  if (!name) throw new Error(`Required field 'name' is missing in ##[${command.name}] command.`);
  return name;
}
