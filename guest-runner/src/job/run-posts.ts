/**
 * The post parts of the actions that ran, the latest first, each with its condition: after a
 * failure, a time-out or a cancellation too. One that fails fails the job, unless its step may.
 */
import { evaluateTemplate } from '@onejob/workflow/evaluate';
import type { StepConclusion } from '@onejob/protocol';
import type { PostStep } from '../steps/post-step.ts';
import { StepRun } from '../steps/step-run.ts';
import { type Condition, isDue } from './condition.ts';
import { explainEvaluation, toTexts } from './job-state.ts';
import type { JobFailure, JobState } from './job-state.ts';
import { perform, ToldFailure } from './perform.ts';
import { sendStep } from './send-step.ts';
import type { StepFrame } from './step-frame.ts';
import { judge, type Verdict } from './verdict.ts';

const conditionOf = ({ name, condition: node }: PostStep): Condition => ({
  name,
  node,
  statusOf: 'job',
});

/** The `env` of its step is evaluated again, for its condition too. @throws EvaluationError */
function begin(run: StepRun, post: PostStep): boolean {
  run.name = post.name;
  run.addEnvironment(toTexts(evaluateTemplate(post.step.env, run.scope)));
  return isDue(run, conditionOf(post));
}

async function runPost(run: StepRun, post: PostStep): Promise<Verdict> {
  const act = (files: Record<string, string>): Promise<number | void> => post.act(run, files);
  return judge(run, await perform(run, { condition: conditionOf(post), act }));
}

/** Those of the steps inside a composite action, as one. @throws ToldFailure */
export async function runInnerPosts(
  around: StepRun,
  posts: readonly PostStep[],
  frame: StepFrame,
): Promise<void> {
  let failure: JobFailure | undefined;
  let isCancelled = false;
  for (const post of posts) {
    if (around.job.isOver) break;
    const run = new StepRun(around.job, post.step, frame, around);
    if (!begin(run, post)) continue;
    const verdict = await runPost(run, post);
    failure ??= verdict.failure;
    isCancelled ||= verdict.outcome === 'cancelled';
  }
  if (isCancelled) throw new ToldFailure('The operation was canceled.', true);
  if (failure !== undefined) throw new ToldFailure(failure.message);
}

async function executePost(job: JobState, post: PostStep): Promise<void> {
  const row = { index: post.step.index, name: post.name };
  const run = new StepRun(job, post.step, job.root);
  const end = (outcome: StepConclusion, conclusion = outcome): void => {
    run.log.flush();
    sendStep(job, row, 'post', { status: 'completed', outcome, conclusion });
  };
  try {
    if (!begin(run, post)) return end('skipped');
  } catch (error) {
    const message = explainEvaluation(error, job.root.parts.file, post.step.at);
    run.error(message);
    job.root.fail({ reason: 'invalid_expression', message });
    return end('failure');
  }
  sendStep(job, row, 'post', { status: 'running' });
  run.log.line('Post job cleanup.');
  const { outcome, conclusion, failure } = await runPost(run, post);
  if (failure !== undefined) job.root.fail(failure);
  end(outcome, conclusion);
}

export async function runPosts(job: JobState): Promise<void> {
  for (const post of job.posts) {
    if (job.isOver) return;
    await executePost(job, post);
  }
}
