/**
 * The post parts of the actions that ran, the latest first, each with its condition: after a
 * failure, a time-out or a cancellation too. One that fails fails the job.
 */
import { evaluateExpression, isTruthy } from '@onejob/workflow/evaluate';
import type { StepConclusion } from '@onejob/protocol';
import type { PostStep } from '../steps/post-step.ts';
import { StepRun } from '../steps/step-run.ts';
import { explainEvaluation } from './job-state.ts';
import type { JobState } from './job-state.ts';
import { perform, ToldFailure } from './perform.ts';
import { sendStep } from './send-step.ts';

/** Status functions of a post part look at the job, wherever its action stands. */
function isDue(run: StepRun, post: PostStep): boolean {
  const { contexts } = run.scope;
  const { functions } = run.job.scope(run.env);
  return isTruthy(evaluateExpression(post.condition, { contexts, functions: functions ?? {} }));
}

/** Runs one; gives why it failed, if it did. */
async function runPost(run: StepRun, post: PostStep): Promise<string | undefined> {
  const place = `${post.frame.parts.file}:${post.step.at.line}:${post.step.at.column}`;
  const result = await perform(run, (files) => post.act(run, files));
  if (result.trouble === undefined && (result.exitCode ?? 0) === 0) return undefined;
  const message = result.trouble?.message ?? `The action ended with exit code ${result.exitCode}.`;
  // The exit code is not told, as on GitHub: the action speaks for itself.
  if (result.trouble !== undefined && result.trouble.kind !== 'told') run.error(message);
  return `${place}: step '${post.name}' failed: ${message}`;
}

/** Those of the steps inside a composite action, as one. @throws ToldFailure */
export async function runInnerPosts(around: StepRun, posts: readonly PostStep[]): Promise<void> {
  let failure: string | undefined;
  for (const post of posts) {
    if (around.job.isOver) break;
    const run = new StepRun(around.job, post.step, post.frame, around);
    run.name = post.name;
    if (!isDue(run, post)) continue;
    const message = await runPost(run, post);
    failure ??= message;
  }
  if (failure !== undefined) throw new ToldFailure(failure);
}

async function executePost(job: JobState, post: PostStep): Promise<void> {
  const row = { index: post.step.index, name: post.name };
  const run = new StepRun(job, post.step, post.frame);
  run.name = post.name;
  const end = (outcome: StepConclusion): void => {
    run.log.flush();
    sendStep(job, row, 'post', { status: 'completed', outcome, conclusion: outcome });
  };
  try {
    if (!isDue(run, post)) return end('skipped');
  } catch (error) {
    const message = explainEvaluation(error, post.frame.parts.file, post.step.at);
    run.error(message);
    job.root.fail({ reason: 'invalid_expression', message });
    return end('failure');
  }
  sendStep(job, row, 'post', { status: 'running' });
  run.log.line('Post job cleanup.');
  const message = await runPost(run, post);
  if (message !== undefined) job.root.fail({ reason: 'step_failed', message });
  const isCancelled = message !== undefined && run.stop.isWished;
  end(isCancelled ? 'cancelled' : message === undefined ? 'success' : 'failure');
}

export async function runPosts(job: JobState): Promise<void> {
  for (const post of job.posts) {
    if (job.isOver) return;
    await executePost(job, post);
  }
}
