/**
 * What one job has become so far: its environment, contexts, results, secrets, and the wish to end it.
 *
 *     status: success -> failure | cancelled     (never back; a cancellation wins)
 *
 * What is said of its steps, and whether one has failed, is in its root frame (`step-frame.ts`).
 *
 * One loop (`run-job.ts`) drives the steps; the host's cancel and kill come in from the side
 * through `requestCancel` and `kill`.
 */
import type { ClientHttp2Session } from 'node:http2';
import { EvaluationError, toText } from '@onejob/workflow/evaluate';
import type { EvaluationScope } from '@onejob/workflow/evaluate';
import { SecretMasker } from '@onejob/masking';
import type {
  CompiledStep,
  HostHello,
  Json,
  JsonObject,
  JobTask,
  Position,
} from '@onejob/protocol';
import { MASKS_PER_JOB } from '@onejob/protocol/limits';
import type { FetchedAction } from '../actions/fetch-action.ts';
import type { LoadedAction } from '../actions/load-action.ts';
import type { GuestConfig } from '../config/config.ts';
import { GuestError, messageOf } from '../errors.ts';
import { COMMAND_LINE_BYTES, MASK_VALUE_BYTES } from '../limits.ts';
import type { HostControl } from '../link/host.ts';
import type { LogSender } from '../logs/log-sender.ts';
import { ProblemMatchers } from '../matchers/problem-matchers.ts';
import { RepositoryFiles } from '../matchers/repository-files.ts';
import type { OutputPipes } from '../steps/output-pipes.ts';
import type { PostStep } from '../steps/post-step.ts';
import { killJobProcesses } from '../steps/process-tree.ts';
import type { StepStop } from '../steps/step-process.ts';
import { apiAddresses } from '../proxy/no-api.ts';
import { hashFiles, whyHashFailed } from './hash-files.ts';
import type { Layout } from './layout.ts';
import type { StepFailureReason } from './observed-end.ts';
import { record } from './record.ts';
import { StepFrame } from './step-frame.ts';
import { fixedVariables, proxyVariables } from './variables.ts';
import type { RunnerContext } from './variables.ts';

export type JobParts = {
  task: JobTask;
  config: GuestConfig;
  layout: Layout;
  runner: RunnerContext;
  masker: SecretMasker;
  host: HostControl;
  log: LogSender;
  pipes: OutputPipes;
  /** Of the loopback listener. */
  port: number;
  actions: ActionOffer;
};

/** What a cancellation asks again, and what it stops. */
export type RunningPart = { stop: StepStop; isDue: () => boolean };

/** From the signal to the kill of one step, and from the cancellation to the kill of all. */
export type CancelTimes = { graceMs: number; timeoutMs: number };

/** What the host says of actions, and the way to ask it for one. */
export type ActionOffer = HostHello['actions'] & { bulk: () => Promise<ClientHttp2Session> };

export type JobFailure = {
  /** `unsupported`: found before the first step. */
  reason: StepFailureReason | 'invalid_expression' | 'unsupported';
  message: string;
};

/** The sentence of an expression's error, with its source. */
export function explainEvaluation(error: unknown, file: string, fallback: Position): string {
  if (!(error instanceof EvaluationError)) throw error;
  const at = error.at ?? fallback;
  const source = error.source === undefined ? '' : ` in \${{ ${error.source} }}`;
  return `${file} (Line: ${at.line}, Col: ${at.column}): ${error.message}${source}`;
}

export class JobState {
  readonly parts: JobParts;
  readonly serverUrl: string;
  readonly github: JsonObject;
  readonly root: StepFrame;
  cancelReason: 'cancelled' | 'deadline' | undefined;
  /** Actions are there and steps may run: before that a cancellation waits for none. */
  hasBegun = false;
  /** Everything was killed: no further process is started. */
  isOver = false;
  /** A value could not be masked: nothing that may hold it leaves the machine. */
  isHidden = false;
  /** The run's, workflow's and job's `env`, and what steps added. */
  env: Record<string, string>;
  /** Of GITHUB_PATH; later ones come first in PATH. */
  paths: string[] = [];
  /** The action of each step that has been looked up; of a step inside an action, too. */
  readonly loaded = new Map<CompiledStep, LoadedAction>();
  /** Where the files of actions of other repositories are, by what is asked for. */
  readonly fetched = new Map<string, Promise<FetchedAction>>();
  /** Steps whose action onejob does itself, or not; decided once. */
  readonly own = new Map<CompiledStep, boolean>();
  /** Actions of which the log says where they came from. */
  readonly told = new Set<string>();
  /** To be run after the last step, the latest first. */
  readonly posts: PostStep[] = [];
  /** Added by a step, at work in it and in all later ones. */
  readonly matchers = new ProblemMatchers();
  readonly repositoryFiles: RepositoryFiles;
  /** Called at the end for output that outlived its step. */
  readonly lingering: (() => void)[] = [];
  /** Parts of steps at work; after a composite action's own the one inside it. */
  readonly running: RunningPart[] = [];
  private readonly killTimers: NodeJS.Timeout[] = [];
  /** Of steps, so far. */
  summaries = 0;
  private masks = 0;
  private files = 0;

  constructor(parts: JobParts) {
    this.parts = parts;
    this.env = record(parts.task.env);
    this.root = new StepFrame(this, {
      file: parts.task.job.file,
      inputs: parts.task.contexts.inputs,
      github: {},
      defaults: parts.task.job.defaults,
      depth: 0,
    });
    this.serverUrl = `http://onejob.localhost:${parts.port}`;
    this.github = {
      ...parts.task.contexts.github,
      token: parts.task.token,
      workspace: parts.layout.workspace,
      event_path: parts.layout.eventPath,
      server_url: this.serverUrl,
      ...apiAddresses(parts.port),
    };
    this.repositoryFiles = new RepositoryFiles({
      workspace: parts.layout.workspace,
      serverUrl: this.serverUrl,
      repository: parts.task.source?.repository ?? toText(this.github['repository'] ?? null),
    });
  }

  /** Debug messages are shown. */
  get isDebug(): boolean {
    return this.parts.runner.debug === '1';
  }

  get isMachineOurs(): boolean {
    return this.parts.config.carrier.kind === 'virtio';
  }

  /**
   * Polite, as GitHub's "Workflow cancellation reference" has it: the condition of what runs now is
   * asked again, and only what is not due any more is signalled. Steps and post parts that are due
   * go on, until everything is killed. Without time for that, the signal comes all the same.
   */
  requestCancel(reason: 'cancelled' | 'deadline', { graceMs, timeoutMs }: CancelTimes): void {
    if (this.cancelReason !== undefined) return;
    this.cancelReason = reason;
    const killUnbegun = (): void => {
      if (!this.hasBegun) void this.kill();
    };
    // Before those of the step: where both times are the same, no further one may begin when it ends.
    this.killTimers.push(
      setTimeout(killUnbegun, graceMs),
      setTimeout(() => void this.kill(), timeoutMs),
    );
    const current = this.running.at(-1);
    const mayGoOn = timeoutMs > graceMs && current?.isDue() === true;
    if (!mayGoOn) current?.stop.wish(graceMs);
  }

  async kill(): Promise<void> {
    this.cancelReason ??= 'cancelled';
    this.isOver = true;
    await this.killProcesses();
  }

  killProcesses(): Promise<boolean> {
    return killJobProcesses({ ownMachine: this.isMachineOurs, markers: this.parts.config.markers });
  }

  /** The steps are done: what comes from the side changes nothing any more. */
  close(): void {
    for (const timer of this.killTimers) clearTimeout(timer);
    for (const end of this.lingering) end();
  }

  /** A name for files of one step that no other step of the job has. */
  nextFileKey(): string {
    return String(this.files++);
  }

  /**
   * @throws GuestError `step`, MaskingError: the value cannot be hidden. Then the job is over, and
   *   nothing more of it is shown
   */
  addMask(value: string): void {
    try {
      this.registerMask(value);
    } catch (error) {
      this.hide(`A value could not be masked, so the job was ended: ${messageOf(error)}`);
      throw error;
    }
  }

  /** A line that adds a mask is too long to be read. The job is over, as where a value is too long. */
  loseMask(): void {
    this.hide(
      'A value could not be masked, so the job was ended: the line that adds it is longer than ' +
        `${COMMAND_LINE_BYTES} bytes.`,
    );
  }

  private hide(message: string): void {
    this.isHidden = true;
    this.isOver = true;
    this.root.fail({ reason: 'step_failed', message });
    this.parts.log.hide(`##[error]${message} Its output from there on is not shown.`);
    void this.killProcesses();
  }

  private registerMask(value: string): void {
    if (Buffer.byteLength(value) > MASK_VALUE_BYTES) {
      throw new GuestError('step', `A value to mask is longer than ${MASK_VALUE_BYTES} bytes.`);
    }
    if (++this.masks > MASKS_PER_JOB) {
      throw new GuestError('step', `More than ${MASKS_PER_JOB} values to mask in one job.`);
    }
    this.parts.masker.add(value);
    this.parts.host.send({ type: 'mask', value });
  }

  /**
   * Contexts and functions for a step (or the job) with this `env`.
   * @param github keys of the context that are the step's own
   */
  scope(env: Record<string, string>, frame = this.root, github: JsonObject = {}): EvaluationScope {
    const { contexts, secrets } = this.parts.task;
    const isStatus = (status: string) => () => frame.status === status;
    return {
      contexts: {
        github: { ...this.github, ...frame.github, ...github },
        env,
        job: { ...contexts.job, status: this.root.status },
        steps: frame.steps,
        runner: this.parts.runner,
        secrets: { GITHUB_TOKEN: this.parts.task.token, ...secrets },
        strategy: contexts.strategy,
        matrix: contexts.matrix,
        needs: contexts.needs,
        inputs: frame.parts.inputs,
        vars: contexts.vars,
      },
      functions: {
        success: isStatus('success'),
        failure: isStatus('failure'),
        cancelled: isStatus('cancelled'),
        always: () => true,
        hashfiles: (args: Json[]) => this.hashFiles(args.map(toText)),
      },
    };
  }

  /** What it meets on the disk is an error of the expression that asked. */
  private hashFiles(patterns: string[]): string {
    try {
      return hashFiles(this.parts.layout.workspace, patterns);
    } catch (error) {
      const why = whyHashFailed(error, this.parts.masker, patterns);
      throw new EvaluationError('function_failed', `hashFiles() failed: ${why}`, {
        cause: error,
      });
    }
  }

  /** For the steps after this one; what was added last comes first. */
  addPath(path: string): void {
    this.paths = [...this.paths.filter((one) => one !== path), path];
  }

  /** PATH of a step's processes. */
  searchPath(env: Record<string, string>): string {
    const own = env['PATH'] ?? this.parts.config.environment['PATH'] ?? '';
    return [...this.paths.toReversed(), own].join(':');
  }

  /** The whole environment of a step's processes. */
  environment(env: Record<string, string>, github: JsonObject): Record<string, string> {
    const { config, port, runner } = this.parts;
    return record({
      ...config.environment,
      ...proxyVariables(port),
      CI: 'true',
      ...env,
      ...fixedVariables({ ...this.github, ...github }, runner),
      ...config.markers,
      PATH: this.searchPath(env),
    });
  }
}

/** A mapping of texts from an evaluated `env`, `with` or `outputs`. */
export function toTexts(value: Json): Record<string, string> {
  const texts = record<string>();
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return texts;
  for (const [name, one] of Object.entries(value)) texts[name] = toText(one);
  return texts;
}
