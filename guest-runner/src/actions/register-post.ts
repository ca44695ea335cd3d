/**
 * Keeps what is to be done after the last step of the job: once for each step, whether its pre part
 * asked for it or its main part. Those of the steps of a composite action are one post part of it.
 */
import { ALWAYS } from '../job/condition.ts';
import { runInnerPosts } from '../job/run-posts.ts';
import type { PostStep } from '../steps/post-step.ts';
import type { StepRun } from '../steps/step-run.ts';
import { enterAction } from './enter-action.ts';
import { readInputs } from './inputs.ts';
import type { LoadedAction } from './load-action.ts';
import { newFrame } from './composite-frame.ts';

/** Of one action the last step first (a stack in ActionManager.cs); of the job who registers last. */
export function addPost(run: StepRun, post: PostStep): void {
  const { around, job } = run;
  if (around === undefined) {
    job.posts.unshift(post);
    return;
  }
  const { action } = around;
  if (action === undefined) throw new Error('a step stands in a step without an action');
  action.posts.push(post);
  action.posts.sort((a, b) => b.step.index - a.step.index);
  addCompositePost(around, action);
}

/** It runs whatever became of the action; each inside has its own condition. */
function addCompositePost(run: StepRun, action: LoadedAction): void {
  const { step } = run;
  if (action.hasPost || step.kind !== 'uses') return;
  action.hasPost = true;
  addPost(run, {
    step,
    name: `Post ${run.name}`,
    condition: ALWAYS,
    act: async (post) => {
      enterAction(post, action);
      // What inputs name may have changed; what is known of the steps is what they left.
      const inputs = readInputs(post, step, action.manifest, false);
      await runInnerPosts(post, action.posts, newFrame(post, action, inputs, action.frame?.steps));
    },
  });
}
