/** Runs that are run again, for tests. */
import assert from 'node:assert/strict';
import type { ErrorBody, Rerun, Run } from '@onejob/protocol';
import type { Platform } from './_platform.ts';

const ALL: Rerun = { failed: false, jobs: [], actor: 'grace', secrets: {}, debug: false };

/** The run as its next attempt begins. */
export async function rerun(
  platform: Platform,
  run: Pick<Run, 'id'>,
  request: Partial<Rerun> = {},
): Promise<Run> {
  const answer = await platform.api('POST', `/runs/${run.id}/rerun`, { ...ALL, ...request });
  assert.equal(answer.status, 201, answer.text);
  return answer.body as Run;
}

/** Status, code and sentence of what is not run again. */
export async function rerunRefused(
  platform: Platform,
  run: Pick<Run, 'id'>,
  request: Partial<Rerun> = {},
): Promise<[number, string, string]> {
  const answer = await platform.api('POST', `/runs/${run.id}/rerun`, { ...ALL, ...request });
  const { error } = answer.body as ErrorBody;
  return [answer.status, error.code, error.message];
}

/** Each job with the attempt it is of, and how it stands. */
export const standing = ({ jobs }: Run): string[] =>
  jobs.map(({ name, attempt, state, conclusion }) => `${name} ${attempt} ${conclusion ?? state}`);
