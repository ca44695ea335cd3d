/** For tests: a git repository in a scratch directory, a print of every byte in it, and a look into packs. */
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import type { Snapshot } from './snapshot.ts';

export function runGit(directory: string, words: readonly string[], input?: Buffer): string {
  const who = ['-c', 'user.name=Ada', '-c', 'user.email=ada@example.test'];
  const quiet = ['-c', 'protocol.file.allow=always', '-c', 'init.defaultBranch=main'];
  return execFileSync('git', [...who, ...quiet, ...words], {
    cwd: directory,
    encoding: 'utf8',
    stdio: ['pipe', 'pipe', 'pipe'],
    ...(input === undefined ? {} : { input }),
  }).trim();
}

export class ScratchRepository implements Disposable {
  readonly base = mkdtempSync(join(tmpdir(), 'onejob-test-snapshot-'));
  readonly directory: string;

  constructor(name = 'work') {
    this.directory = join(this.base, name);
    mkdirSync(this.directory);
    this.git('init', '--quiet');
  }

  git(...words: string[]): string {
    return runGit(this.directory, words);
  }

  write(path: string, content: string): void {
    mkdirSync(dirname(join(this.directory, path)), { recursive: true });
    writeFileSync(join(this.directory, path), content);
  }

  commit(message = 'a commit'): void {
    this.git('add', '--all');
    this.git('commit', '--quiet', '--message', message);
  }

  [Symbol.dispose](): void {
    rmSync(this.base, { recursive: true, force: true });
  }
}

export type Fingerprint = Record<string, string>;

/**
 * Path -> kind, mode, time of change and content of everything below, `.git` included. Times of
 * objects are left out: git renews them when it would write what is there already.
 */
export function fingerprint(directory: string): Fingerprint {
  const prints: Fingerprint = {};
  const visit = (path: string, shown: string): void => {
    const found = lstatSync(path, { bigint: true });
    const time = shown.includes('/objects/') ? '' : found.mtimeNs;
    const facts = `${found.mode.toString(8)} ${time}`;
    if (found.isSymbolicLink()) prints[shown] = `${facts} -> ${readlinkSync(path)}`;
    else if (found.isFile()) {
      prints[shown] = `${facts} ${createHash('sha256').update(readFileSync(path)).digest('hex')}`;
    } else {
      prints[shown] = facts;
      for (const name of readdirSync(path)) visit(join(path, name), `${shown}/${name}`);
    }
  };
  visit(directory, '.');
  return prints;
}

/** Paths that are not the same in both. */
export function changedPaths(before: Fingerprint, after: Fingerprint): string[] {
  const paths = new Set([...Object.keys(before), ...Object.keys(after)]);
  return [...paths].filter((path) => before[path] !== after[path]);
}

/** `mode path` -> content (commit for a submodule) of the snapshot, as somebody with `tips` gets it. */
export async function unpack(
  snapshot: Snapshot,
  tips: readonly string[] = [],
  far = mkdtempSync(join(tmpdir(), 'onejob-test-far-')),
): Promise<Record<string, string>> {
  try {
    runGit(far, ['init', '--quiet', '--bare']);
    const pack = await buffer(await snapshot.pack(tips));
    runGit(far, ['index-pack', '--stdin', '--fix-thin'], pack);
    const files: Record<string, string> = {};
    const listed = runGit(far, ['-c', 'core.quotePath=false', 'ls-tree', '-r', snapshot.sha]);
    for (const line of listed.split('\n').filter(Boolean)) {
      const [, mode = '', kind, object = '', path = ''] =
        /^(\d+) (\w+) (\w+)\t(.*)$/.exec(line) ?? [];
      files[`${mode} ${path}`] =
        kind === 'blob' ? runGit(far, ['cat-file', 'blob', object]) : object;
    }
    return files;
  } finally {
    rmSync(far, { recursive: true, force: true });
  }
}
