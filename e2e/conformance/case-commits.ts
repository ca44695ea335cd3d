/**
 * The files of conformance cases as commits. Cases that bring the same files share one, where each has a
 * workflow file of its own; those that bring none, or workflows only, share one as far as names differ. With
 * `changes` it is two commits. A snapshot a case would take longer than the case.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import type { Constellation } from '@onejob/testing';
import type { ConformanceCase } from './case-file.ts';

export const REPOSITORY = 'local/conformance';

export type CaseCommits = AsyncDisposable & {
  /** Brings the commit of a case to the platform, if it is not there. */
  place(constellation: Constellation, one: ConformanceCase): Promise<CasePlace>;
};

export type CasePlace = {
  sha: string;
  /** The commit before it, of a case with changes. */
  before: string;
  /** Path of the case's workflow. */
  file: string;
};

/** Far above what the cases of a file have. */
const PACK_BYTES = 16 * 1024 * 1024;

type Changes = Record<string, string | null>;
type Branch = { files: Record<string, string>; changes: Changes };

const data = (text: string): string => `data ${Buffer.byteLength(text)}\n${text}\n`;

/** For `git fast-import`: a commit on what the branch has. */
function commitOf(branch: string, changes: Changes): string {
  const written = Object.entries(changes).map(([path, text]) =>
    text === null ? `D ${path}\n` : `M 100644 inline ${path}\n${data(text)}`,
  );
  const committer = 'committer case <case@localhost> 1700000000 +0000';
  return `commit refs/heads/${branch}\n${committer}\n${data('case')}${written.join('')}`;
}

/** One without parents, and where the cases have changes, one after it. */
const commitsOf = (name: string, { files, changes }: Branch): string =>
  commitOf(name, files) + (Object.keys(changes).length === 0 ? '' : commitOf(name, changes));

/** Whether the files of a case may stand beside those of others: their workflows, under other names. */
const canShare = ({ files, changes }: ConformanceCase, branch: Branch): boolean =>
  Object.keys(changes).length === 0 &&
  Object.entries(files).every(
    ([path, text]) =>
      path.startsWith('.github/workflows/') && (branch.files[path] ?? text) === text,
  );

/** Of all cases of a test file the place and the branch. */
function layOut(cases: readonly ConformanceCase[]) {
  const shared: Branch = { files: {}, changes: {} };
  const branches = new Map([['shared', shared]]);
  const places = new Map<ConformanceCase, { branch: string; file: string }>();
  const byFiles = new Map<string, string>();
  cases.forEach((one, i) => {
    const file = `.github/workflows/case-${i}.yml`;
    const { files, changes } = one;
    const key = JSON.stringify([files, changes]);
    const branch = canShare(one, shared) ? 'shared' : (byFiles.get(key) ?? `case-${i}`);
    if (branch !== 'shared') byFiles.set(key, branch);
    const its = branches.get(branch) ?? { files: {}, changes };
    Object.assign(its.files, files, { [file]: one.workflow });
    branches.set(branch, its);
    places.set(one, { branch, file });
  });
  return { branches, places };
}

/** Of each branch its commit, and the one before that. */
function readTips(out: string): ReadonlyMap<string, Omit<CasePlace, 'file'>> {
  const rows = out.split('\n').map((row) => row.split(' '));
  return new Map(
    rows.map(([branch = '', sha = '', before = '']) => [branch, { sha, before }] as const),
  );
}

export function commitCases(cases: readonly ConformanceCase[]): CaseCommits {
  const directory = mkdtempSync(join(tmpdir(), 'onejob-conformance-'));
  const run = (words: string[], input = ''): Buffer =>
    execFileSync('git', words, { cwd: directory, input, maxBuffer: PACK_BYTES });
  const { branches, places } = layOut(cases);
  run(['init', '--quiet', '--bare', '.']);
  const stream = Array.from(branches, ([name, branch]) => commitsOf(name, branch)).join('');
  run(['fast-import', '--quiet'], stream);
  const format = '%(refname:short) %(objectname) %(parent)';
  const tips = readTips(
    run(['for-each-ref', `--format=${format}`])
      .toString()
      .trim(),
  );
  // All of them at once: each snapshot is then the same few kilobytes.
  const pack = run(['pack-objects', '--all', '--stdout', '-q']);
  const sent = new Map<string, Promise<void>>();
  return {
    place: async ({ api }, one) => {
      const { branch = '', file = '' } = places.get(one) ?? {};
      const tip = tips.get(branch);
      if (tip === undefined) throw new Error(`no commit of the case: ${one.name}`);
      const send = async (sha: string): Promise<void> => {
        const sending = sent.get(sha) ?? api.sendSnapshot(REPOSITORY, sha, Readable.from([pack]));
        sent.set(sha, sending);
        await sending;
      };
      await send(tip.sha);
      if (one.runs.some(({ before }) => before)) await send(tip.before);
      return { ...tip, file };
    },
    [Symbol.asyncDispose]: async () => await rm(directory, { recursive: true, force: true }),
  };
}
