/**
 * One step while it runs: its log, its pipe, its processes, its outputs, its annotations. A step
 * inside a composite action shares log, index and the count of annotations with the step of the job
 * that it is part of.
 *
 * Promises: output is read only as fast as the host takes it; annotations are masked and counted;
 * after `finish` its commands and problem matchers have no effect any more, though a background process may still talk.
 */
import { constants } from 'node:os';
import { setImmediate as readOnce } from 'node:timers/promises';
import type { Annotation, CompiledStep, JsonObject } from '@onejob/protocol';
import type { EvaluationScope } from '@onejob/workflow/evaluate';
import { GUEST_MESSAGE_BYTES } from '@onejob/protocol/limits';
import type { LoadedAction } from '../actions/load-action.ts';
import { GuestError, shownMessage } from '../errors.ts';
import type { JobState } from '../job/job-state.ts';
import { record } from '../job/record.ts';
import type { StepFrame } from '../job/step-frame.ts';
import { OUTPUT_DRAIN_MS, OUTPUT_IDLE_MS, SUMMARIES_PER_JOB } from '../limits.ts';
import { debugLines } from '../logs/debug-lines.ts';
import { StepLog } from '../logs/step-log.ts';
import { Annotations } from './annotations.ts';
import { clip } from './clip.ts';
import type { OutputPipe } from './output-pipes.ts';
import { StepCommands } from './step-commands.ts';
import { StepProblems } from './step-problems.ts';
import { StepProcess, StepStop } from './step-process.ts';

export type ProcessWish = {
  program: string;
  args: string[];
  directory: string;
  environment: Record<string, string>;
  /** After which it is killed; undefined: when its step ends. */
  timeoutMs?: number;
};

/** As a shell says it: the signal's number plus 128. */
const signalExitCode = (signal: NodeJS.Signals): number => 128 + constants.signals[signal];

export class StepRun {
  readonly job: JobState;
  readonly step: CompiledStep;
  readonly frame: StepFrame;
  /** The step whose action it is part of. */
  readonly around: StepRun | undefined;
  /** The job's own step it is part of; itself, if it is one. */
  readonly top: StepRun;
  /** What it runs, once that is known. */
  action: LoadedAction | undefined;
  readonly log: StepLog;
  readonly stop: StepStop;
  readonly outputs: Record<string, string> = record();
  /** As people see it. */
  name: string;
  /** For the post part of the same action. */
  state: Record<string, string> = record();
  /** Keys of the `github` context that are this step's own. */
  github: JsonObject;
  /** Tells its files from those of other steps. */
  readonly fileKey: string;
  /** `env` as expressions see it. */
  env: Record<string, string>;
  /**
   * What the `env` of this step and of those around it say: wins over the job's environment,
   * whatever steps add to it.
   */
  overrides: Record<string, string>;
  private readonly commands: StepCommands;
  private readonly annotations: Annotations;
  private pipe: OutputPipe | undefined;
  private paused = false;
  private ended = false;
  private lastOutputMs = 0;

  /** @param around the step whose action this one is part of */
  constructor(job: JobState, step: CompiledStep, frame: StepFrame, around?: StepRun) {
    this.job = job;
    this.step = step;
    this.frame = frame;
    this.around = around;
    this.top = around?.top ?? this;
    this.github = { action: step.id };
    this.name = step.id;
    this.fileKey = job.nextFileKey();
    this.overrides = around?.overrides ?? record();
    this.env = record({ ...job.env, ...this.overrides });
    this.stop = around?.stop.inside() ?? new StepStop();
    this.log = around?.log ?? new StepLog(step.index, job.parts.log, job.parts.masker);
    this.annotations =
      around?.annotations ??
      new Annotations({ host: job.parts.host, masker: job.parts.masker, index: step.index });
    const showDebug = job.isDebug;
    const matchers = new StepProblems({
      matchers: job.matchers,
      files: job.repositoryFiles,
      masker: job.parts.masker,
      workspace: job.parts.layout.workspace,
      showDebug,
      annotate: (annotation) => this.annotate(annotation),
    });
    this.commands = new StepCommands({
      line: (text) => this.log.line(text),
      debug: (message) => this.debug(message),
      annotate: (annotation) => this.annotate(annotation),
      addMask: (value) => job.addMask(value),
      loseMask: () => job.loseMask(),
      setOutput: (name, value) => this.setOutput(name, value),
      saveState: (name, value) => this.saveState(name, value),
      setVariable: (name, value) => this.setVariable(name, value),
      addPath: (path) => job.addPath(path),
      variable: (name) => this.env[name],
      matchers,
      showDebug,
      mask: (text) => job.parts.masker.maskText(text),
      explain: (error, line) => shownMessage(error, job.parts.masker, line),
      workspace: job.parts.layout.workspace,
    });
    this.log.commands = this.commands;
    this.log.reader = matchers;
  }

  get isTop(): boolean {
    return this.top === this;
  }

  /** Its place in the job, for events. */
  get index(): number {
    return this.top.step.index;
  }

  /** What expressions of this step see. With debug logging each evaluation is told. */
  get scope(): EvaluationScope {
    const scope = this.quietScope;
    if (!this.job.isDebug) return scope;
    const { masker } = this.job.parts;
    const tell = (line: string): void => this.debug(line);
    return { ...scope, trace: { tell, mask: (text) => masker.maskText(text) } };
  }

  /** The same, and nothing is told. */
  get quietScope(): EvaluationScope {
    return this.job.scope(this.env, this.frame, this.github);
  }

  /** The whole environment of its processes. */
  get environment(): Record<string, string> {
    return this.job.environment(this.env, { ...this.frame.github, ...this.github });
  }

  /** Adds what the step's own `env` says. */
  addEnvironment(values: Record<string, string>): void {
    this.overrides = record({ ...this.overrides, ...values });
    Object.assign(this.env, values);
  }

  /** For expressions and processes of later steps; in these a default variable of that name wins. */
  setVariable(name: string, value: string): void {
    this.job.env[name] = value;
    this.debug(`${name}='${value}'`);
  }

  /** For the post part of the same action. */
  saveState(name: string, value: string): void {
    this.state[name] = value;
    this.debug(`Save intra-action state ${name} = ${value}`);
  }

  /** A command of the step's output was wrong, which fails it. */
  get hasCommandFailed(): boolean {
    return this.commands.hasFailed;
  }

  line(text: string): void {
    this.log.line(text);
  }

  /** An error of the runner's: in the log and as an annotation. */
  error(message: string): void {
    this.log.line(`##[error]${message}`);
    this.annotate({ level: 'error', message });
  }

  warning(message: string): void {
    this.log.line(`##[warning]${message}`);
    this.annotate({ level: 'warning', message });
  }

  /** Shown where the job asks for debug logging. */
  debug(message: string): void {
    if (!this.job.isDebug) return;
    for (const line of debugLines(message)) this.log.line(line);
  }

  summary(markdown: string): void {
    if (this.job.isHidden) return;
    if (++this.job.summaries > SUMMARIES_PER_JOB) {
      this.log.line(`This summary is not shown: a job has at most ${SUMMARIES_PER_JOB}.`);
      return;
    }
    const masked = clip(this.job.parts.masker.maskText(markdown), markdown.length);
    const message = { type: 'summary', index: this.index, markdown: masked } as const;
    if (Buffer.byteLength(JSON.stringify(message)) >= GUEST_MESSAGE_BYTES) {
      return this.warning(
        '$GITHUB_STEP_SUMMARY was dropped: it holds too many special characters.',
      );
    }
    this.job.parts.host.send(message);
  }

  /** Runs a process of this step to its end. */
  async runProcess(wish: ProcessWish): Promise<number> {
    const pipe = await this.openPipe();
    // The runner stands still while it is forked, some 100 ms in an emulated machine.
    await this.job.parts.log.sendNow();
    if (this.stop.isWished || this.job.isOver)
      throw new GuestError('step', 'The operation was canceled.');
    const child = StepProcess.start({
      ...wish,
      writeFd: pipe.writeFd,
      ownMachine: this.job.isMachineOurs,
    });
    this.stop.current = child;
    const timer =
      wish.timeoutMs === undefined
        ? undefined
        : setTimeout(() => void child.kill(), wish.timeoutMs);
    try {
      const { exitCode, signal } = await child.ended;
      return exitCode ?? (signal === null ? 1 : signalExitCode(signal));
    } finally {
      clearTimeout(timer);
      this.stop.current = undefined;
    }
  }

  /** Reads what its processes have written, then closes its ears to commands. */
  async finish(): Promise<void> {
    this.stop.dispose();
    const { pipe } = this;
    if (pipe !== undefined) {
      pipe.closeWriter();
      await this.drain();
      if (!this.ended) this.job.lingering.push(() => pipe.reader.destroy());
    }
    this.log.flush();
    this.log.commands = undefined;
    this.log.reader = undefined;
  }

  private async openPipe(): Promise<OutputPipe> {
    if (this.pipe !== undefined) return this.pipe;
    const pipe = await this.job.parts.pipes.take();
    this.pipe = pipe;
    pipe.reader.on('data', (chunk: Buffer) => {
      this.log.output(chunk);
      this.lastOutputMs = performance.now(); // what it took to take it is no silence
      void this.waitForRoom(pipe);
    });
    const end = (): void => {
      this.ended = true;
      this.onEnd();
    };
    pipe.reader.once('end', end).once('error', end).once('close', end);
    return pipe;
  }

  private onEnd: () => void = () => {};

  private async waitForRoom(pipe: OutputPipe): Promise<void> {
    const { host, log } = this.job.parts;
    if (this.paused || !(log.isFull || host.isFull)) return;
    this.paused = true;
    pipe.reader.pause();
    while (log.isFull || host.isFull) {
      await log.room();
      await host.room();
    }
    this.paused = false;
    pipe.reader.resume();
  }

  /** Until every writer is gone, or those that are left have been silent for a moment. */
  private async drain(): Promise<void> {
    this.lastOutputMs = performance.now();
    let waitedMs = 0;
    while (!this.ended && waitedMs < OUTPUT_DRAIN_MS) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.onEnd = resolve;
      const timer = setTimeout(resolve, OUTPUT_IDLE_MS);
      await promise;
      clearTimeout(timer);
      // A runner that got no processor for a moment has its timers end before it has read anything.
      await readOnce();
      if (this.paused) continue;
      waitedMs += OUTPUT_IDLE_MS;
      if (performance.now() - this.lastOutputMs >= OUTPUT_IDLE_MS) return;
    }
  }

  /** As the older command does it: debug logging has another sentence for it. */
  private setOutput(name: string, value: string): void {
    this.outputs[name] = value;
    const { id } = this.step;
    const reference = /^[a-z_]\w*$/i.test(name)
      ? `steps.${id}.outputs.${name}`
      : `steps['${id}']['outputs']['${name}']`;
    this.debug(`${id.startsWith('__') ? '' : reference}='${value}'`);
  }

  private annotate(annotation: Annotation): void {
    if (!this.job.isHidden) this.annotations.add(annotation);
  }
}
