/**
 * The files of conformance cases as commits. Cases that bring no files of their own share one, where
 * each has a workflow file of its own; the others have a commit each. A snapshot a case would take
 * longer than the case.
 */
import { execFileSync, spawn } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Constellation } from '@onejob/testing';
import type { ConformanceCase } from './case-file.ts';

export const REPOSITORY = 'local/conformance';

export type CaseCommits = AsyncDisposable & {
  /** Brings the commit of a case to the platform, if it is not there. */
  place(constellation: Constellation, one: ConformanceCase): Promise<CasePlace>;
};

export type CasePlace = {
  sha: string;
  /** Path of the case's workflow. */
  file: string;
};

const data = (text: string): string => `data ${Buffer.byteLength(text)}\n${text}\n`;

/** For `git fast-import`: a commit without parents. */
function commitOf(branch: string, files: Record<string, string>): string {
  const written = Object.entries(files).map(
    ([path, text]) => `M 100644 inline ${path}\n${data(text)}`,
  );
  const committer = 'committer case <case@localhost> 1700000000 +0000';
  return `commit refs/heads/${branch}\n${committer}\n${data('case')}${written.join('')}`;
}

/** Of all cases of a test file the place and the branch. */
function layOut(cases: readonly ConformanceCase[]) {
  const branches = new Map<string, Record<string, string>>([['shared', {}]]);
  const places = new Map<ConformanceCase, { branch: string; file: string }>();
  cases.forEach((one, i) => {
    const branch = Object.keys(one.files).length === 0 ? 'shared' : `case-${i}`;
    const file = `.github/workflows/case-${i}.yml`;
    branches.set(branch, { ...branches.get(branch), ...one.files, [file]: one.workflow });
    places.set(one, { branch, file });
  });
  return { branches, places };
}

export function commitCases(cases: readonly ConformanceCase[]): CaseCommits {
  const directory = mkdtempSync(join(tmpdir(), 'onejob-conformance-'));
  const git = (words: string[], input = ''): string =>
    execFileSync('git', words, { cwd: directory, input, encoding: 'utf8' }).trim();
  const { branches, places } = layOut(cases);
  git(['init', '--quiet', '--bare', '.']);
  const stream = Array.from(branches, ([branch, files]) => commitOf(branch, files)).join('');
  git(['fast-import', '--quiet'], stream);
  const sent = new Map<string, Promise<string>>();
  const send = async ({ api }: Constellation, branch: string): Promise<string> => {
    const sha = git(['rev-parse', `refs/heads/${branch}`]);
    const packing = spawn('git', ['pack-objects', '--revs', '--stdout', '-q'], {
      cwd: directory,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    packing.stdin.end(`${sha}\n`);
    await api.sendSnapshot(REPOSITORY, sha, packing.stdout);
    return sha;
  };
  return {
    place: async (constellation, one) => {
      const { branch = '', file = '' } = places.get(one) ?? {};
      const sending = sent.get(branch) ?? send(constellation, branch);
      sent.set(branch, sending);
      return { sha: await sending, file };
    },
    [Symbol.asyncDispose]: async () => await rm(directory, { recursive: true, force: true }),
  };
}
