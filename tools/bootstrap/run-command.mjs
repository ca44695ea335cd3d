/**
 * Runs the command itself under Node 24 and gets out of its way: same standard streams, its exit code
 * is ours, a signal that kills it kills us.
 *
 * A Ctrl-C is delivered by the terminal to every process of the foreground group, the command among
 * them; passing it on would make one key press two (and the second one means "kill" to `onejob run`).
 * So signals of a terminal are left to the terminal, and passed on only when there is none. npm, which
 * also passes signals on, makes repeats: those within REPEAT_MS count once.
 */

import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR2'];
const FROM_TERMINAL = new Set(['SIGINT', 'SIGQUIT', 'SIGHUP']);
const REPEAT_MS = 300;

/** Whether this process is in the foreground group of a terminal (proc(5): stat fields 5, 7, 8). */
function isInForeground() {
  try {
    const stat = readFileSync('/proc/self/stat', 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const [processGroup, terminal, foregroundGroup] = [fields[2], fields[4], fields[5]];
    return terminal !== '0' && processGroup === foregroundGroup;
  } catch {
    return false;
  }
}

/**
 * @param {string} root the checkout
 * @param {string[]} argv script, relative to the checkout, and its arguments
 * @param {string} cwd
 * @returns {Promise<number>} exit code; does not return if the command was killed by a signal
 */
export async function runCommand(root, argv, cwd) {
  const bin = path.join(root, 'node_modules', '.bin');
  const [script, ...args] = argv;
  const inherited = (process.env.PATH ?? '').split(path.delimiter).filter((entry) => entry !== bin);
  const child = spawn(path.join(bin, 'node'), [path.join(root, script), ...args], {
    cwd,
    stdio: 'inherit',
    env: { ...process.env, PATH: [bin, ...inherited].join(path.delimiter) },
  });
  const lastForwardedMs = new Map();
  const forward = (signal) => {
    if (FROM_TERMINAL.has(signal) && isInForeground()) return;
    const nowMs = performance.now();
    const repeated = nowMs - (lastForwardedMs.get(signal) ?? -Infinity) < REPEAT_MS;
    lastForwardedMs.set(signal, nowMs);
    if (!repeated) child.kill(signal);
  };
  for (const signal of FORWARDED) process.on(signal, forward);
  const { code, signal } = await new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (exitCode, exitSignal) => resolve({ code: exitCode, signal: exitSignal }));
  });
  for (const name of FORWARDED) process.off(name, forward);
  if (signal === null) return code;
  process.kill(process.pid, signal);
  // Signals that we ignore or that are pending: the shell's code for it.
  return 128 + (os.constants.signals[signal] ?? 0);
}
