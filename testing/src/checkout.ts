/** A small git repository made for a test, gone when the test is. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export type TestCheckout = AsyncDisposable & {
  readonly directory: string;
  git(...words: string[]): string;
  write(path: string, content: string): void;
};

/** @param files path -> content; all are committed. */
export function makeCheckout(files: Readonly<Record<string, string>>): TestCheckout {
  const directory = mkdtempSync(join(tmpdir(), 'onejob-test-checkout-'));
  const git = (...words: string[]): string =>
    execFileSync('git', ['-c', 'user.name=test', '-c', 'user.email=test@localhost', ...words], {
      cwd: directory,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    }).trim();
  const write = (path: string, content: string): void => {
    mkdirSync(dirname(join(directory, path)), { recursive: true });
    writeFileSync(join(directory, path), content);
  };
  git('init', '--quiet', '--initial-branch=main');
  for (const [path, content] of Object.entries(files)) write(path, content);
  git('add', '--all');
  git('commit', '--quiet', '--allow-empty', '--message=test');
  return {
    directory,
    git,
    write,
    [Symbol.asyncDispose]: async () => await rm(directory, { recursive: true, force: true }),
  };
}
