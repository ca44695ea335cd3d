/**
 * A job from its task to its end: set up, steps, posts, outputs, clean up.
 *
 * Promises: always gives a `finished` message, whatever the job did; when it does, no process of
 * the job is alive. No secret is logged: masks are registered before the first row.
 */
import { release } from 'node:os';
import { rmSync } from 'node:fs';
import { isDebugSwitch, SecretMasker } from '@onejob/masking';
import { evaluateTemplate, toText } from '@onejob/workflow/evaluate';
import type { CompiledStep, FinishedMessage, JobTask } from '@onejob/protocol';
import { CANCEL_GRACE_MS, CANCEL_TIMEOUT_MS } from '@onejob/protocol/limits';
import { prepareActions } from '../actions/prepare-actions.ts';
import { runPres } from '../actions/run-pres.ts';
import type { GuestConfig } from '../config/config.ts';
import { GuestError, messageOf } from '../errors.ts';
import { FINISHED_MESSAGE_CHARACTERS } from '../limits.ts';
import type { HostControl } from '../link/host.ts';
import type { LogSender } from '../logs/log-sender.ts';
import type { Loopback } from '../proxy/loopback.ts';
import { OutputPipes } from '../steps/output-pipes.ts';
import { writePrivate } from '../steps/step-files.ts';
import { clip } from '../steps/clip.ts';
import { RUNNER_VERSION } from '../version.ts';
import { reportEnvironmentUrl } from './environment-url.ts';
import { JOB_INDEX, JobLog } from './job-log.ts';
import {
  type ActionOffer,
  type CancelTimes,
  explainEvaluation,
  JobState,
  toTexts,
} from './job-state.ts';
import { makeLayout } from './layout.ts';
import { whyUnsupported } from './preflight.ts';
import { readOutputs } from './job-outputs.ts';
import { record } from './record.ts';
import { runPosts } from './run-posts.ts';
import { executeStep } from './run-step.ts';
import { sendStep } from './send-step.ts';
import { readTimeout } from './timeout-minutes.ts';
import { permissionRows } from './token-permissions.ts';
import { makeRunnerContext } from './variables.ts';

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
export function registerSecrets(masker: SecretMasker, task: JobTask): void {
  const basic = task.token === '' ? '' : btoa(`x-access-token:${task.token}`);
  const values = {
    ...task.secrets,
    'github.token': task.token,
    'its basic form': basic,
    ACTIONS_RUNTIME_TOKEN: task.results?.token ?? '',
  };
  for (const [name, value] of Object.entries(values)) {
    try {
      if (value !== '' && !isDebugSwitch(name, value)) masker.add(value);
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
  private deadline: NodeJS.Timeout | undefined;

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

  private jobLog(isDebug: boolean): JobLog {
    const { host, log } = this.around;
    return new JobLog({ host, log, masker: this.masker, isDebug });
  }

  private refuse(finished: Finished): Finished {
    const log = this.jobLog(false);
    log.error(finished.message);
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
    const isSetUp = await this.setUp(job);
    job.hasBegun = isSetUp;
    if (isSetUp) await runPres(job);
    if (isSetUp) await runSteps(job, this.task.job.steps);
    clearTimeout(this.deadline);
    return this.complete(job);
  }

  private async setUp(job: JobState): Promise<boolean> {
    const log = this.jobLog(job.isDebug);
    const row = { index: JOB_INDEX, name: 'Set up job' };
    sendStep(job, row, 'pre', { status: 'running' });
    log.debug(`Starting: ${row.name}`);
    logSetUp(log, this.task, job);
    try {
      this.deadline = this.startDeadline(job);
      log.debug('Evaluating job-level environment variables');
      for (const template of this.task.job.env) {
        const scope = { ...job.scope(job.env), ...log.trace };
        job.env = record({ ...job.env, ...toTexts(evaluateTemplate(template, scope)) });
      }
    } catch (error) {
      const message = explainEvaluation(error, this.task.job.file, JOB_PLACE);
      log.error(message);
      job.root.fail({ reason: 'invalid_expression', message });
    }
    if (job.root.failure === undefined) await prepareActions(job, log);
    log.debug(`Finishing: ${row.name}`);
    log.flush();
    const outcome = job.root.failure === undefined ? 'success' : 'failure';
    sendStep(job, row, 'pre', { status: 'completed', outcome, conclusion: outcome });
    return outcome === 'success';
  }

  /** As a cancellation: what is due all the same has its time, as on GitHub. */
  private startDeadline(job: JobState): NodeJS.Timeout {
    const own = readTimeout(evaluateTemplate(this.task.job.timeoutMinutes, job.scope(job.env)));
    const timeoutMs = Math.min(own ?? Number.POSITIVE_INFINITY, this.task.jobTimeoutMs);
    const times = { graceMs: CANCEL_GRACE_MS, timeoutMs: CANCEL_TIMEOUT_MS };
    return setTimeout(() => job.requestCancel('deadline', times), timeoutMs);
  }

  private complete(job: JobState): Finished {
    const log = this.jobLog(job.isDebug);
    const row = { index: JOB_INDEX, name: 'Complete job' };
    sendStep(job, row, 'post', { status: 'running' });
    log.debug(`Starting: ${row.name}`);
    const before = job.root.failure;
    const outputs = job.isOver ? {} : readOutputs(job, log);
    if (!job.isOver) reportEnvironmentUrl(job, log);
    log.debug(`Finishing: ${row.name}`);
    log.flush();
    const outcome = job.root.failure === before ? 'success' : 'failure';
    sendStep(job, row, 'post', { status: 'completed', outcome, conclusion: outcome });
    return { ...conclude(job), outputs };
  }
}

function logSetUp(log: JobLog, task: JobTask, job: JobState): void {
  log.line(`onejob guest runner ${RUNNER_VERSION}, Node ${process.version}, Linux ${release()}`);
  log.line(`Machine: ${job.parts.runner.name}`);
  log.line(`Job: ${task.job.name} (${task.job.file}), attempt ${task.attempt}`);
  const { workflow_ref: own, workflow_sha: sha } = task.contexts.job;
  if (typeof own === 'string' && own !== task.contexts.github['workflow_ref']) {
    log.line(`Uses: ${own} (${toText(sha ?? null)})`);
  }
  for (const row of permissionRows(task.job.permissions)) log.line(row);
  log.debug(`Primary repository: ${toText(task.contexts.github['repository'] ?? null)}`);
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
