/** What the host hears of a step. */
import type { StepEvent } from '@onejob/protocol';
import { SHORT_TEXT_CHARACTERS } from '../limits.ts';
import { clip } from '../steps/clip.ts';
import type { JobState } from './job-state.ts';

/** Tells the host what a step (or the job itself) is doing. */
export function sendStep(
  job: JobState,
  step: { index: number; name: string },
  phase: StepEvent['phase'],
  rest: Pick<StepEvent, 'status'> & Partial<StepEvent>,
): void {
  const name = clip(job.parts.masker.maskText(step.name), SHORT_TEXT_CHARACTERS);
  job.parts.host.send({ type: 'step', index: step.index, phase, name, atMs: Date.now(), ...rest });
}
