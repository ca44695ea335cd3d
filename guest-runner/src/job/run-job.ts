/**
 * A job from its task to its end: set up, steps, posts, outputs, clean up.
 *
 * Promises: always gives a `finished` message, whatever the job did; when it does, no process of
 * the job is alive. No secret is logged: masks are registered before the first row.
 */
import { release } from 'node:os';
import { rmSync } from 'node:fs';
import { SecretMasker } from '@onejob/masking';
import { evaluateTemplate, toText } from '@onejob/workflow/evaluate';
import type { CompiledStep, FinishedMessage, JobTask } from '@onejob/protocol';
import { CANCEL_GRACE_MS, OUTPUT_BYTES_PER_JOB } from '@onejob/protocol/limits';
import { prepareActions } from '../actions/prepare-actions.ts';
import { runPres } from '../actions/run-pres.ts';
import type { GuestConfig } from '../config/config.ts';
import { GuestError, messageOf } from '../errors.ts';
import { FINISHED_MESSAGE_CHARACTERS } from '../limits.ts';
import type { HostControl } from '../link/host.ts';
import type { LogSender } from '../logs/log-sender.ts';
import { StepLog } from '../logs/step-log.ts';
import type { Loopback } from '../proxy/loopback.ts';
import { OutputPipes } from '../steps/output-pipes.ts';
import { writePrivate } from '../steps/step-files.ts';
import { clip } from '../steps/step-run.ts';
import { RUNNER_VERSION } from '../version.ts';
import { reportEnvironmentUrl } from './environment-url.ts';
import {
  type ActionOffer,
  type CancelTimes,
  explainEvaluation,
  JobState,
  toTexts,
} from './job-state.ts';
import { makeLayout } from './layout.ts';
import { whyUnsupported } from './preflight.ts';
import { record } from './record.ts';
import { runPosts } from './run-posts.ts';
import { executeStep } from './run-step.ts';
import { sendStep } from './send-step.ts';
import { readTimeout } from './timeout-minutes.ts';
import { permissionRows } from './token-permissions.ts';
import { makeRunnerContext } from './variables.ts';

const JOB_INDEX = -1;
const JOB_PLACE = { line: 1, column: 1 };

export type JobSurroundings = {
  config: GuestConfig;
  hostname: string;
  host: HostControl;
  log: LogSender;
  /** Listening, or about to. */
  loopback: Promise<Loopback>;
  actions: ActionOffer;
};

type Finished = Omit<FinishedMessage, 'type' | 'atMs'>;

const end = (
  conclusion: Finished['conclusion'],
  reason: Finished['reason'],
  message: string,
): Finished => ({ conclusion, reason, message, outputs: {} });

/** Everything that must not be seen, from the first row on. */
function registerSecrets(masker: SecretMasker, task: JobTask): void {
  const basic = task.token === '' ? '' : btoa(`x-access-token:${task.token}`);
  const values = {
    ...task.secrets,
    'github.token': task.token,
    'its basic form': basic,
    ACTIONS_RUNTIME_TOKEN: task.results?.token ?? '',
  };
  for (const [name, value] of Object.entries(values)) {
    try {
      if (value !== '') masker.add(value);
    } catch (error) {
      throw new GuestError(
        'unsupported',
        `the secret '${name}' cannot be hidden: ${messageOf(error)}`,
      );
    }
  }
}

export class JobRun {
  private readonly task: JobTask;
  private readonly around: JobSurroundings;
  private readonly masker = new SecretMasker();
  private state: JobState | undefined;
  /** A wish that came before there was a state. */
  private early: (() => void) | undefined;

  constructor(task: JobTask, around: JobSurroundings) {
    this.task = task;
    this.around = around;
  }

  cancel(reason: 'cancelled' | 'deadline', times: CancelTimes): void {
    if (this.state) this.state.requestCancel(reason, times);
    else this.early ??= () => this.state?.requestCancel(reason, times);
  }

  async kill(): Promise<void> {
    this.early = () => void this.state?.kill();
    await this.state?.kill();
  }

  async run(): Promise<Finished> {
    let finished: Finished;
    try {
      registerSecrets(this.masker, this.task);
      const unsupported = whyUnsupported(this.task);
      finished =
        unsupported === undefined
          ? await this.inMachine()
          : this.refuse(end('refused', 'unsupported', unsupported));
    } catch (error) {
      const unsupported = error instanceof GuestError && error.code === 'unsupported';
      finished = this.refuse(
        unsupported
          ? end('refused', 'unsupported', messageOf(error))
          : end('failure', 'step_failed', `The job could not be set up: ${messageOf(error)}`),
      );
    }
    finished.message = clip(this.masker.maskText(finished.message), FINISHED_MESSAGE_CHARACTERS);
    return finished;
  }

  private refuse(finished: Finished): Finished {
    const log = new StepLog(JOB_INDEX, this.around.log, this.masker);
    log.line(`##[error]${finished.message}`);
    log.flush();
    return finished;
  }

  private async inMachine(): Promise<Finished> {
    const { task } = this;
    const { actions, config, hostname, host, log } = this.around;
    const layout = makeLayout(config.workDirectory, task.contexts.github);
    writePrivate(layout.eventPath, JSON.stringify(task.contexts.github['event'] ?? {}));
    const searchPath = config.environment['PATH'] ?? '';
    const [loopback, pipes] = await Promise.all([
      this.around.loopback,
      OutputPipes.create({
        count: task.job.steps.length,
        prepared: config.preparedPipes,
        directory: layout.pipes,
        searchPath,
      }),
    ]);
    const { repository } = task.contexts.github;
    const names = [task.source?.repository ?? '', typeof repository === 'string' ? repository : ''];
    loopback.source = { token: task.token, names };
    const { ACTIONS_STEP_DEBUG: asked } = { ...task.contexts.vars, ...task.secrets };
    const isAsked = typeof asked === 'string' && asked.trim().toLowerCase() === 'true';
    const debug = task.debug === true || isAsked;
    const runner = makeRunnerContext(hostname, layout, debug);
    const { port } = loopback;
    const { masker } = this;
    const job = new JobState({
      task,
      config,
      layout,
      runner,
      masker,
      host,
      log,
      pipes,
      port,
      actions,
    });
    this.state = job;
    this.early?.();
    try {
      return await this.inState(job);
    } finally {
      await job.killProcesses();
      job.close();
      loopback.close();
      pipes.remove();
      rmSync(layout.eventPath, { force: true });
    }
  }

  private async inState(job: JobState): Promise<Finished> {
    const log = new StepLog(JOB_INDEX, this.around.log, this.masker);
    const { file } = this.task.job;
    sendStep(job, { index: JOB_INDEX, name: 'Set up job' }, 'pre', { status: 'running' });
    logSetUp(log, this.task, job);
    let timer: NodeJS.Timeout | undefined;
    try {
      timer = this.startDeadline(job);
      for (const template of this.task.job.env) {
        const scope = job.scope(job.env);
        job.env = record({ ...job.env, ...toTexts(evaluateTemplate(template, scope)) });
      }
    } catch (error) {
      const message = explainEvaluation(error, file, JOB_PLACE);
      log.line(`##[error]${message}`);
      job.root.fail({ reason: 'invalid_expression', message });
    }
    if (job.root.failure === undefined) await prepareActions(job, log);
    log.flush();
    const setUp = job.root.failure === undefined ? 'success' : 'failure';
    sendStep(job, { index: JOB_INDEX, name: 'Set up job' }, 'pre', {
      status: 'completed',
      outcome: setUp,
      conclusion: setUp,
    });
    job.hasBegun = setUp === 'success';
    if (setUp === 'success') await runPres(job);
    if (setUp === 'success') await runSteps(job, this.task.job.steps);
    clearTimeout(timer);
    return this.complete(job, log);
  }

  private startDeadline(job: JobState): NodeJS.Timeout {
    const own = readTimeout(evaluateTemplate(this.task.job.timeoutMinutes, job.scope(job.env)));
    const timeoutMs = Math.min(own ?? Number.POSITIVE_INFINITY, this.task.jobTimeoutMs);
    const times = { graceMs: CANCEL_GRACE_MS, timeoutMs: CANCEL_GRACE_MS };
    return setTimeout(() => job.requestCancel('deadline', times), timeoutMs);
  }

  private complete(job: JobState, log: StepLog): Finished {
    const row = { index: JOB_INDEX, name: 'Complete job' };
    sendStep(job, row, 'post', { status: 'running' });
    const outputs = job.isOver ? {} : this.outputs(job, log);
    if (!job.isOver) reportEnvironmentUrl(job, log);
    log.flush();
    sendStep(job, row, 'post', { status: 'completed', outcome: 'success', conclusion: 'success' });
    return { ...conclude(job), outputs };
  }

  private outputs(job: JobState, log: StepLog): Record<string, string> {
    let values: Record<string, string>;
    try {
      values = toTexts(evaluateTemplate(this.task.job.outputs, job.scope(job.env)));
    } catch (error) {
      const message = explainEvaluation(error, this.task.job.file, JOB_PLACE);
      log.line(`##[error]${message}`);
      job.root.fail({ reason: 'invalid_expression', message });
      return {};
    }
    const outputs: Record<string, string> = record();
    let bytes = 0;
    for (const [name, value] of Object.entries(values)) {
      if (value === '') continue;
      bytes += name.length + Buffer.byteLength(value);
      if (this.masker.containsSecret(value)) {
        log.line(`##[warning]Skip output '${name}' since it may contain secret.`);
      } else if (bytes > OUTPUT_BYTES_PER_JOB) {
        log.line(
          `##[warning]Skip output '${name}': a job's outputs are at most ${OUTPUT_BYTES_PER_JOB} bytes.`,
        );
      } else {
        outputs[name] = value;
      }
    }
    return outputs;
  }
}

function logSetUp(log: StepLog, task: JobTask, job: JobState): void {
  log.line(`onejob guest runner ${RUNNER_VERSION}, Node ${process.version}, Linux ${release()}`);
  log.line(`Machine: ${job.parts.runner.name}`);
  log.line(`Job: ${task.job.name} (${task.job.file}), attempt ${task.attempt}`);
  const { workflow_ref: own, workflow_sha: sha } = task.contexts.job;
  if (typeof own === 'string' && own !== task.contexts.github['workflow_ref']) {
    log.line(`Uses: ${own} (${toText(sha ?? null)})`);
  }
  for (const row of permissionRows(task.job.permissions)) log.line(row);
  if (job.parts.runner.debug) log.line('##[debug]Debug messages are shown.');
}

async function runSteps(job: JobState, steps: CompiledStep[]): Promise<void> {
  for (const step of steps) {
    if (job.isOver) {
      const skipped = { status: 'completed', outcome: 'skipped', conclusion: 'skipped' } as const;
      sendStep(job, { index: step.index, name: step.id }, 'main', skipped);
      continue;
    }
    await executeStep(job, step, job.root);
  }
  await runPosts(job);
}

function conclude(job: JobState): Finished {
  if (job.cancelReason === 'deadline') {
    return end('timed_out', 'deadline', 'The job took longer than its timeout and was stopped.');
  }
  if (job.cancelReason === 'cancelled')
    return end('cancelled', 'cancelled', 'The job was cancelled.');
  const { failure } = job.root;
  if (failure?.reason === 'unsupported') return end('refused', 'unsupported', failure.message);
  if (failure) return end('failure', failure.reason, failure.message);
  return end('success', 'steps_completed', 'All steps completed.');
}
