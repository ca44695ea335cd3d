/**
 * Where steps run: the job itself, or one composite action in it. A frame has its own `steps` and
 * `inputs`, and it fails by itself; what steps leave behind (GITHUB_ENV, GITHUB_PATH) is the job's.
 *
 *     status: success -> failure      (a cancelled job is cancelled in all of its frames)
 */
import type { CompiledJob, JsonObject } from '@onejob/protocol';
import type { JobFailure, JobState } from './job-state.ts';
import { record } from './record.ts';

type FrameParts = {
  /** Path of the file the steps stand in, for messages. */
  file: string;
  inputs: JsonObject;
  /** Keys of the `github` context that differ from the job's. */
  github: JsonObject;
  /** What `run` steps have without saying so; nothing in an action. */
  defaults: CompiledJob['defaults'];
  /** How many composite actions are around. */
  depth: number;
};

export class StepFrame {
  readonly parts: FrameParts;
  readonly steps: JsonObject;
  failure: JobFailure | undefined;
  /** A condition in it could not be evaluated: the action is over, the job is not. */
  isBroken = false;
  private readonly job: JobState;

  /** @param steps what an earlier frame of the same action knows of its steps */
  constructor(job: JobState, parts: FrameParts, steps: JsonObject = record()) {
    this.job = job;
    this.parts = parts;
    this.steps = steps;
  }

  get status(): 'success' | 'failure' | 'cancelled' {
    if (this.job.cancelReason !== undefined) return 'cancelled';
    return this.failure === undefined ? 'success' : 'failure';
  }

  /** The first failure is the one that is told. */
  fail(failure: JobFailure): void {
    this.failure ??= failure;
  }

  /** The `github` context of its steps; an action knows how it fares. */
  get github(): JsonObject {
    const { depth, github } = this.parts;
    return depth === 0 ? github : { ...github, action_status: this.status };
  }
}
