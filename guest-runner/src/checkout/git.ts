/**
 * git as a checkout uses it: in one directory, without prompts, every command with a time limit.
 *
 * Promises: what it is told in confidence is in its environment, never an argument of a process.
 */
import { performance } from 'node:perf_hooks';
import { setTimeout as sleep } from 'node:timers/promises';
import { GuestError, messageOf } from '../errors.ts';
import { record } from '../job/record.ts';
import {
  CHECKOUT_ASK_MS,
  CHECKOUT_COMMAND_MS,
  CHECKOUT_RETRY_POLL_MS,
  CHECKOUT_RETRY_WAITS_MS,
  CHECKOUT_SILENCE_S,
} from '../limits.ts';
import { askTool } from '../steps/quiet-tools.ts';
import type { ToolAnswer } from '../steps/quiet-tools.ts';
import { findProgram } from '../steps/shell.ts';
import type { StepRun } from '../steps/step-run.ts';

/** A setting of git's configuration: its key and its value. */
export type Setting = [key: string, value: string];

type GitPlace = {
  /** Of `findGit`. */
  program: string;
  directory: string;
  /** Of the step. */
  environment: Record<string, string>;
  settings: readonly Setting[];
  /** Variables of git's own. */
  variables: Record<string, string>;
};

/** The name of the command among its arguments: of `-c a=b fetch origin` it is `fetch`. */
function commandOf(args: readonly string[]): string {
  const at = args.findIndex((arg, index) => !arg.startsWith('-') && args[index - 1] !== '-c');
  return args[at] ?? '';
}

/** @throws GuestError `step`: there is no git */
export function findGit(run: StepRun): string {
  const { layout } = run.job.parts;
  const git = findProgram('git', run.job.searchPath(run.env), layout.workspace);
  if (git !== undefined) return git;
  throw new GuestError('step', 'actions/checkout needs git, which was not found in PATH.');
}

export class Git {
  readonly directory: string;
  readonly environment: Record<string, string>;
  private readonly run: StepRun;
  private readonly program: string;

  constructor(run: StepRun, place: GitPlace) {
    this.run = run;
    this.program = place.program;
    this.directory = place.directory;
    this.environment = record({
      ...place.environment,
      GIT_TERMINAL_PROMPT: '0',
      // Empty: whatever is configured to ask people is not started.
      GIT_ASKPASS: '',
      GCM_INTERACTIVE: 'Never',
      GIT_HTTP_LOW_SPEED_LIMIT: '1',
      GIT_HTTP_LOW_SPEED_TIME: String(CHECKOUT_SILENCE_S),
      LC_ALL: 'C.UTF-8',
      ...place.variables,
    });
    place.settings.forEach(([key, value], index) => {
      this.environment[`GIT_CONFIG_KEY_${index}`] = key;
      this.environment[`GIT_CONFIG_VALUE_${index}`] = value;
    });
    this.environment['GIT_CONFIG_COUNT'] = String(place.settings.length);
  }

  /** A command whose output is shown. @throws GuestError `step`: it failed or took too long */
  async command(...args: string[]): Promise<void> {
    const { directory, environment, program, run } = this;
    run.log.line(`[command]${[program, ...args].join(' ')}`);
    const startedMs = performance.now();
    const exitCode = await run.runProcess({
      program,
      args,
      directory,
      environment,
      timeoutMs: CHECKOUT_COMMAND_MS,
    });
    if (exitCode === 0) return;
    const what = `The process '${program} ${commandOf(args)}'`;
    if (performance.now() - startedMs >= CHECKOUT_COMMAND_MS) {
      throw new GuestError(
        'step',
        `${what} was ended after ${CHECKOUT_COMMAND_MS / 60_000} minutes`,
      );
    }
    throw new GuestError('step', `${what} failed with exit code ${exitCode}`);
  }

  /** A command that asks another server: again, after a while, where it fails. @throws GuestError */
  async insist(...args: string[]): Promise<void> {
    const { log } = this.run;
    for (const waitMs of CHECKOUT_RETRY_WAITS_MS) {
      try {
        await this.command(...args);
        return;
      } catch (error) {
        if (this.isCancelled) throw error;
        log.line(messageOf(error));
        log.line(`Waiting ${waitMs / 1000} seconds before trying again`);
      }
      const endMs = performance.now() + waitMs;
      while (performance.now() < endMs && !this.isCancelled) await sleep(CHECKOUT_RETRY_POLL_MS);
    }
    await this.command(...args);
  }

  private get isCancelled(): boolean {
    return this.run.stop.isWished || this.run.job.isOver;
  }

  /** A command whose output is for us, whatever comes of it. Never rejects. */
  async try(...args: string[]): Promise<ToolAnswer> {
    const { directory, environment, program } = this;
    return await askTool(program, args, { directory, environment, timeoutMs: CHECKOUT_ASK_MS });
  }

  /** A command whose output is the answer. @throws GuestError `step`: it failed */
  async ask(...args: string[]): Promise<string> {
    const { complaint, exitCode, output } = await this.try(...args);
    if (exitCode === 0) return output.trim();
    throw new GuestError('step', `'git ${commandOf(args)}' failed: ${complaint}`);
  }
}
