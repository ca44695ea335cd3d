/**
 * `onejob run --watch`: runs, and runs again when files of the checkout change; a run under way is
 * cancelled first. The platform stays open between runs. Mistakes in a workflow are told and waited
 * out: the next change may mend them.
 *
 *     running -- ends --> waiting -- change --> running
 *        '-- change --> cancelling -- ended --> running
 */
import type { CreatedRuns } from '@onejob/protocol';
import { CheckoutChanges } from '../checkout/checkout-changes.ts';
import { takeSnapshot } from '../checkout/snapshot.ts';
import type { Platform } from '../embedded/platform.ts';
import { CliError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { reportError } from '../show/report-error.ts';
import type { RunView } from '../show/run-view.ts';
import { safeText } from '../show/style.ts';
import { exitCodeOf } from '../show/summary.ts';
import { followRuns } from './follow-runs.ts';
import { Interrupts } from './interrupt.ts';
import {
  chooseView,
  isLive,
  makeReady,
  openForRun,
  requestBody,
  sayCreated,
  sendOnce,
  sendSnapshot,
  toStderr,
  waitForOthers,
} from './launch.ts';
import { openAndAsk } from './open-and-ask.ts';
import { readRunOptions, type RunFlags, type RunOptions } from './run-options.ts';

/** Changed files named on the line that tells of them. */
const NAMED_FILES = 4;

/** Ends with Ctrl-C: cancelled where that cancelled a run, else success. */
export async function watch(flags: RunFlags, dataDirectory: string | undefined): Promise<ExitCode> {
  using interrupts = new Interrupts();
  const options = await readRunOptions(flags, interrupts.signal);
  await using changes = await CheckoutChanges.of(process.cwd());
  await using watching = new Watching(flags, options, dataDirectory, interrupts);
  let code: ExitCode = EXIT.success;
  while (!interrupts.signal.aborted) {
    await changes.mark();
    const turn = await watching.run(changes);
    code = turn.code;
    if (interrupts.signal.aborted || turn.isChanged) continue;
    code = EXIT.success;
    watching.say('Waiting for changes. Ctrl-C ends.');
    const names = await changes.next(watching.ending());
    if (names === undefined) break;
    watching.say(changeLine(names, 'running again'));
  }
  await watching.leave();
  return code;
}

function changeLine(names: readonly string[], then: string): string {
  const named = names
    .slice(0, NAMED_FILES)
    .map((name) => safeText(name, false).replaceAll('\n', '?'));
  const more = names.length - named.length;
  return `Changed: ${named.join(', ')}${more > 0 ? ` and ${more} more` : ''}; ${then}.`;
}

/** `isChanged`: files changed before the runs had ended. */
type Turn = { code: ExitCode; isChanged: boolean };

class Watching implements AsyncDisposable {
  readonly #flags: RunFlags;
  readonly #options: RunOptions;
  readonly #dataDirectory: string | undefined;
  readonly #interrupts: Interrupts;
  /** Open between two runs. */
  #platform: Platform | undefined;
  readonly #ready = new WeakSet<Platform>();
  /** The flags fitted once. */
  #hasStarted = false;
  #write = toStderr;

  constructor(
    flags: RunFlags,
    options: RunOptions,
    dataDirectory: string | undefined,
    interrupts: Interrupts,
  ) {
    this.#flags = flags;
    this.#options = options;
    this.#dataDirectory = dataDirectory;
    this.#interrupts = interrupts;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#platform?.[Symbol.asyncDispose]();
  }

  say(line: string): void {
    const text = this.#flags.json ? JSON.stringify({ type: 'message', message: line }) : line;
    process.stdout.write(`${text}\n`);
  }

  /** Aborted when there is nothing more to wait for. */
  ending(): AbortSignal {
    const { signal } = this.#interrupts;
    const broken = this.#platform?.broken;
    return broken === undefined ? signal : AbortSignal.any([signal, broken]);
  }

  async run(changes: CheckoutChanges): Promise<Turn> {
    try {
      return await this.#runOnce(changes);
    } catch (error) {
      if (!this.#isMendable(error)) throw error;
      return { code: reportError(error, process.stderr), isChanged: false };
    }
  }

  /** What other terminals run on this platform ends first. */
  async leave(): Promise<void> {
    this.#platform?.broken?.throwIfAborted();
    if (this.#platform !== undefined && !this.#platform.joined) {
      await waitForOthers(this.#platform, this.#interrupts);
    }
  }

  async #runOnce(changes: CheckoutChanges): Promise<Turn> {
    const { platform, created } = await this.#start();
    if (created instanceof Error) throw created;
    this.#hasStarted = true;
    const { api, joined, broken } = platform;
    const view = chooseView(this.#flags.json);
    const runs = sayCreated(created, this.#options.event.name, view, { dirty: false, joined });
    if (isLive(this.#flags.json)) this.#write = (line) => view.say(line);
    view.begin(runs);
    for (const warning of runs.flatMap((one) => one.warnings)) view.warn(warning);
    const ended = new AbortController();
    const changed = this.#cancelOnChange(
      changes,
      ended.signal,
      view,
      runs.map(({ id }) => id),
    );
    // Whoever waits for it hears of a failure, when the runs have ended.
    changed.catch(() => {});
    const following = { api, view, interrupts: this.#interrupts, broken };
    const finished = await followRuns(following, runs).finally(() => {
      this.#write = toStderr;
      ended.abort();
    });
    const isChanged = await changed;
    view.finish(finished);
    return { code: exitCodeOf(finished), isChanged };
  }

  /** Resolves when the runs have ended: whether files changed before that. */
  async #cancelOnChange(
    changes: CheckoutChanges,
    ended: AbortSignal,
    view: RunView,
    runIds: readonly string[],
  ): Promise<boolean> {
    const signal = AbortSignal.any([ended, this.#interrupts.signal]);
    const names = await changes.next(signal);
    if (names === undefined) return false;
    const api = this.#platform?.api;
    if (ended.aborted || api === undefined) {
      this.say(changeLine(names, 'running again'));
      return true;
    }
    view.say(changeLine(names, 'cancelling this run'));
    for (const id of runIds) {
      await api.cancelRun(id, false).catch((error: Error) => view.say(error.message));
    }
    return true;
  }

  /** An error that a change may mend is the answer, so that the platform stays open. */
  async #start(): Promise<{ platform: Platform; created: CreatedRuns | Error }> {
    const { signal } = this.#interrupts;
    await using snapshot = await takeSnapshot(process.cwd());
    const body = await requestBody(this.#flags, this.#options, snapshot);
    const open = async (): Promise<Platform> => {
      const kept = this.#platform;
      this.#platform = undefined;
      const write = (line: string): void => this.#write(line);
      return (
        kept ??
        (await openForRun({ ...this.#flags, withAgent: true }, this.#dataDirectory, signal, write))
      );
    };
    const { platform, answer } = await openAndAsk(open, async (owner) => {
      if (!this.#ready.has(owner)) await makeReady(owner, this.#flags.driver, this.#interrupts);
      this.#ready.add(owner);
      signal.throwIfAborted();
      try {
        await sendSnapshot(owner.api, snapshot);
        return await sendOnce(async () => await owner.api.createRuns(body));
      } catch (error) {
        if (this.#isMendable(error)) return error;
        throw error;
      }
    });
    this.#platform = platform;
    return { platform, created: answer };
  }

  /**
   * What is wrong in the files of the checkout. A job that is not there is a wrong flag, unless it was
   * there before.
   */
  #isMendable(error: unknown): error is CliError {
    if (!(error instanceof CliError) || error.code === 'no_checkout') return false;
    return (
      error.exitCode === EXIT.invalidInput || (this.#hasStarted && error.exitCode === EXIT.usage)
    );
  }
}
