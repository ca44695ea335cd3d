/** The inputs of actions/download-artifact, each checked. */
import { getBooleanInput, getInput } from '@actions/core';
import { resolve } from 'node:path';
import { readGitHub, readHome } from '../config/environment.ts';

const DIGEST_MISMATCH = ['ignore', 'info', 'warn', 'error'] as const;

/** Which artifacts. */
export type Selection =
  | { kind: 'name'; name: string }
  | { kind: 'ids'; ids: number[] }
  | { kind: 'pattern'; pattern: string }
  | { kind: 'all' };

export type DownloadInputs = {
  selection: Selection;
  /** Absolute. */
  path: string;
  mergeMultiple: boolean;
  skipDecompress: boolean;
  digestMismatch: (typeof DIGEST_MISMATCH)[number];
};

function readId(text: string): number {
  const id = Number.parseInt(text, 10);
  if (Number.isSafeInteger(id)) return id;
  throw new Error(`Invalid artifact ID: '${text}'. Must be a number.`);
}

function readSelection(): Selection {
  const name = getInput('name');
  const ids = getInput('artifact-ids');
  const pattern = getInput('pattern');
  if (name !== '' && ids !== '') {
    throw new Error(
      "Inputs 'name' and 'artifact-ids' cannot be used together. Please specify only one.",
    );
  }
  if (name !== '') return { kind: 'name', name };
  if (ids !== '') {
    const words = ids
      .split(',')
      .map((one) => one.trim())
      .filter((one) => one !== '');
    if (words.length === 0) {
      throw new Error("No valid artifact IDs provided in 'artifact-ids' input");
    }
    return { kind: 'ids', ids: words.map(readId) };
  }
  return pattern === '' ? { kind: 'all' } : { kind: 'pattern', pattern };
}

/** Only a token makes the action look elsewhere; a token for the job's own run changes nothing. */
function refuseOtherRuns(): void {
  if (getInput('github-token') === '') return;
  const { repository, runId } = readGitHub();
  const asked = `${getInput('repository')} ${getInput('run-id')}`;
  if (asked.toLowerCase() === `${repository} ${runId}`.toLowerCase()) return;
  throw new Error(
    `onejob gives a job the artifacts of its own run (${repository}, run ${runId}) and of no other: ` +
      "leave 'github-token', 'repository' and 'run-id' out, or upload in a job of this run.",
  );
}

/** @throws Error that names the input */
export function readDownloadInputs(): DownloadInputs {
  refuseOtherRuns();
  const wanted = getInput('digest-mismatch');
  const digestMismatch = DIGEST_MISMATCH.find((one) => one === wanted);
  if (digestMismatch === undefined) {
    throw new Error(
      `Invalid value for 'digest-mismatch': '${wanted}'. Valid options are: ${DIGEST_MISMATCH.join(', ')}`,
    );
  }
  const path = (getInput('path') || readGitHub().workspace).replace(/^~/, readHome);
  return {
    selection: readSelection(),
    path: resolve(path),
    mergeMultiple: getBooleanInput('merge-multiple'),
    skipDecompress: getBooleanInput('skip-decompress'),
    digestMismatch,
  };
}
