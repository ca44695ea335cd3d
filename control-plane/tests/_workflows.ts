/** Workflows that tests of the queue share. */
import type { Run } from '@onejob/protocol';
import type { Platform } from './_platform.ts';

export const ONE_JOB = `on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - run: echo hello
`;

/** So many legs, none of which ends the others; `more` of its strategy. */
export function legs(count: number, more = ''): string {
  const values = Array.from({ length: count }, (_, n) => n).join(', ');
  const strategy = `{ matrix: { n: [${values}] }, fail-fast: false${more} }`;
  return ONE_JOB.replace('    runs-on', `    strategy: ${strategy}\n    runs-on`);
}

/** The run of a workflow in a repository. */
export async function runFor(
  platform: Platform,
  repository: string,
  workflow: string,
): Promise<Run> {
  const sha = await platform.snapshot({ '.github/workflows/ci.yml': workflow }, repository);
  const { runs } = await platform.createRuns({ sha, repository });
  return runs[0]!;
}
