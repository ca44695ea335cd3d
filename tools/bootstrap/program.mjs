/**
 * Runs a program of the set-up (npm, apt-get) and keeps its output, which is shown only if it fails.
 * The program runs in a process group of its own: a Ctrl-C reaches it once, through us, and we wait
 * for its end, so that what we must put back afterwards is put back.
 */

import { spawn } from 'node:child_process';

const FORWARDED = ['SIGINT', 'SIGTERM', 'SIGHUP'];
/** Output beyond this is cut at the front; only the last lines are ever shown. */
const OUTPUT_LIMIT_CHARS = 200_000;

/**
 * @param {string} file
 * @param {string[]} args
 * @param {{ cwd?: string, env?: Record<string, string | undefined>, onStatus?: (line: string) => void }} options
 *   `onStatus` gets the lines the program writes to file descriptor 3
 * @returns {Promise<{ code: number, signal: string | null, output: string, interruptedBy: string | undefined }>}
 */
export async function runProgram(file, args, options = {}) {
  const child = spawn(file, args, {
    cwd: options.cwd,
    env: options.env,
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
  });
  let output = '';
  const keep = (chunk) => {
    output = (output + chunk).slice(-OUTPUT_LIMIT_CHARS);
  };
  child.stdout.setEncoding('utf8').on('data', keep);
  child.stderr.setEncoding('utf8').on('data', keep);

  let pending = '';
  child.stdio[3].setEncoding('utf8').on('data', (chunk) => {
    const lines = (pending + chunk).split('\n');
    pending = lines.pop() ?? '';
    for (const line of lines) options.onStatus?.(line);
  });

  let interruptedBy;
  const forward = (signal) => {
    interruptedBy ??= signal;
    try {
      process.kill(-child.pid, signal);
    } catch {
      // It has just ended by itself.
    }
  };
  for (const signal of FORWARDED) process.on(signal, forward);
  try {
    return await new Promise((resolve, reject) => {
      child.once('error', reject);
      child.once('close', (code, signal) =>
        resolve({ code: code ?? 1, signal, output, interruptedBy }),
      );
    });
  } finally {
    for (const signal of FORWARDED) process.off(signal, forward);
  }
}
