/**
 * Watches the machine while something runs: a snapshot before, another after, and what changed. Also
 * ends what is still running then, so that nothing runs on after us.
 *
 * Of files, everything is watched (see files.mjs). Not looked into: this checkout, the image cache and
 * npm's cache, which are meant to stay, and what INVENTORY_IGNORE (paths with `:` between, in which `*`
 * stands for any part of a name) or the caller names: work of others on the same machine.
 */

import { spawn } from 'node:child_process';
import { realpathSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { markedCommand, newMark, readProcesses } from './processes.mjs';
import { compareSnapshots, takeSnapshot } from './snapshot.mjs';

/** The kernel takes namespaces, sockets and groups away a moment after their last user. */
export const SETTLE_MS = 15_000;
const RETRY_MS = 500;
/** A list longer than this is not read by anyone. */
const SHOWN = 200;

/**
 * @param {string[]} patterns paths, in which `*` stands for any part of a name
 * @returns {(path: string) => boolean}
 */
export function pathMatcher(patterns) {
  const sources = patterns.map((pattern) =>
    pattern.replaceAll(/[.+?^${}()|[\]\\]/g, '\\$&').replaceAll('*', '[^/]*'),
  );
  const expression = new RegExp(`^(${sources.join('|')})$`);
  return (file) => expression.test(file);
}

/** The image cache is in it. */
export const cacheHome = () => process.env.XDG_CACHE_HOME ?? path.join(os.homedir(), '.cache');

/** @param {WatchOptions} options @param {number} mark */
function scopeOf({ ignored, below = '/' }, mark) {
  const home = os.homedir();
  return {
    mark,
    home,
    below,
    isIgnored: pathMatcher([
      realpathSync(fileURLToPath(new URL('../..', import.meta.url))),
      path.join(cacheHome(), 'onejob'),
      process.env.npm_config_cache ?? path.join(home, '.npm'),
      ...(process.env.INVENTORY_IGNORE ?? '').split(':').filter((one) => one !== ''),
      ...ignored,
    ]),
  };
}

/**
 * @typedef {object} Watched runs a program that carries the mark; a signal that reaches us is passed on
 * @property {(argv: string[], onOutput?: (text: string) => void) => Promise<number>} run answers with
 *   the exit code; with `onOutput` the program's output goes there instead of to our own
 */

/** @param {number} mark @returns {Watched} */
function runnerFor(mark) {
  return {
    run(argv, onOutput) {
      const [file, ...args] = markedCommand(mark, argv);
      const output = onOutput === undefined ? 'inherit' : 'pipe';
      const child = spawn(file, args, { stdio: ['ignore', output, output] });
      for (const stream of [child.stdout, child.stderr])
        stream?.setEncoding('utf8').on('data', onOutput);
      const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'];
      const forward = (/** @type {NodeJS.Signals} */ signal) => child.kill(signal);
      for (const signal of signals) process.on(signal, forward);
      return new Promise((resolve, reject) => {
        child.once('error', reject);
        // Not "close": what runs on in the background may hold the pipes for ever.
        child.once('exit', (code, signal) => {
          for (const name of signals) process.off(name, forward);
          setTimeout(() => {
            for (const stream of [child.stdout, child.stderr]) stream?.destroy();
            resolve(code ?? 128 + os.constants.signals[signal ?? 'SIGKILL']);
          }, RETRY_MS);
        });
      });
    },
  };
}

/**
 * @typedef {object} WatchOptions
 * @property {string[]} ignored
 * @property {number} settleMs
 * @property {string} [below] files are looked at below this directory only
 * @property {boolean} [mayInstall] Debian packages may be installed meanwhile
 */

/**
 * Calls `work` and answers with its result and what stayed: one line for each change.
 * @template T
 * @param {WatchOptions} options
 * @param {(watched: Watched) => Promise<T>} work
 * @returns {Promise<{ result: T, stayed: string[] }>}
 */
export async function watchMachine(options, work) {
  const { settleMs, mayInstall = false } = options;
  const scope = scopeOf(options, newMark());
  const compare = () => compareSnapshots(before, takeSnapshot(scope), { mayInstall });
  const before = takeSnapshot(scope);
  const result = await work(runnerFor(scope.mark));
  const deadlineMs = performance.now() + settleMs;
  let stayed = compare();
  while (stayed.length > 0 && performance.now() < deadlineMs) {
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    stayed = compare();
  }
  for (const one of readProcesses(scope.mark)) {
    try {
      if (one.isMarked) process.kill(one.pid, 'SIGKILL');
    } catch {
      // Gone by itself.
    }
  }
  return { result, stayed };
}

/**
 * The verdict for people.
 * @param {string[]} stayed
 */
export function describeStayed(stayed) {
  if (stayed.length === 0) return 'inventory: the machine is as it was before\n';
  const more = stayed.length > SHOWN ? [`... and ${stayed.length - SHOWN} more`] : [];
  const list = [...stayed.slice(0, SHOWN), ...more].map((line) => `  ${line}\n`).join('');
  return `inventory: FAILED, ${stayed.length} changes stayed (+ appeared, - vanished, ~ changed)\n${list}`;
}
