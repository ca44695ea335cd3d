/**
 * `npm run check`: everything that can be known without running onejob. Each check is one line with
 * its time; a failed one shows its whole output. The last line counts the checks. Exit code 0 if all
 * passed, 1 otherwise, 2 for an unknown check's name.
 */

import { spawn } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import { compareGenerated } from './check/generated-code.ts';

const root = path.join(import.meta.dirname, '..');
const BIN = path.join(root, 'node_modules', '.bin');

interface Outcome {
  readonly passed: boolean;
  /** Shown in full if the check failed. */
  readonly output: string;
  /** A word on a check that passed, e.g. why there was nothing to do. */
  readonly note?: string;
}

interface Check {
  readonly name: string;
  readonly about: string;
  readonly run: (signal: AbortSignal) => Promise<Outcome>;
}

/** Runs a program of node_modules/.bin, with its output kept. */
function runProgram(file: string, args: readonly string[], signal: AbortSignal): Promise<Outcome> {
  const { promise, resolve, reject } = Promise.withResolvers<Outcome>();
  const child = spawn(path.join(BIN, file), args, {
    cwd: root,
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      ...process.env,
      PATH: `${BIN}${path.delimiter}${process.env['PATH'] ?? ''}`,
      // buf keeps a cache in the home directory otherwise.
      BUF_CACHE_DIR: path.join(root, 'node_modules', '.cache', 'buf'),
    },
    signal,
  });
  let output = '';
  const keep = (chunk: string): void => {
    output += chunk;
  };
  child.stdout.setEncoding('utf8').on('data', keep);
  child.stderr.setEncoding('utf8').on('data', keep);
  child.once('error', (error) => (signal.aborted ? undefined : reject(error)));
  child.once('close', (code) => resolve({ passed: code === 0, output }));
  return promise;
}

const CHECKS: readonly Check[] = [
  {
    name: 'types',
    about: 'TypeScript, strict',
    run: (signal) => runProgram('tsc', ['-p', 'tsconfig.json'], signal),
  },
  {
    name: 'lint',
    about: 'oxlint, with types',
    run: (signal) => runProgram('oxlint', ['--type-aware', '--deny-warnings'], signal),
  },
  {
    name: 'format',
    about: 'oxfmt',
    run: (signal) => runProgram('oxfmt', ['--check', '.'], signal),
  },
  {
    name: 'rules',
    about: 'repository rules: tools/tidy.test.ts; the lock file is complete',
    run: (signal) =>
      runProgram('node', ['tools/test.ts', 'tools/tidy.test.ts', 'tools/lock/'], signal),
  },
  {
    name: 'dead-code',
    about: 'knip: files, exports, dependencies',
    run: (signal) => runProgram('knip', ['--no-progress', '--no-config-hints'], signal),
  },
  {
    name: 'generated',
    about: "the protocol's generated code is that of its .proto files",
    run: (signal) =>
      compareGenerated(path.join(root, 'protocol'), (args) => runProgram('buf', args, signal)),
  },
];

async function runCheck(check: Check, signal: AbortSignal): Promise<boolean> {
  const startedAtMs = performance.now();
  const { passed, output, note } = await check.run(signal);
  if (signal.aborted) return false;
  const seconds = `${((performance.now() - startedAtMs) / 1000).toFixed(1)} s`.padStart(7);
  const remark = note === undefined ? '' : ` (${note})`;
  const mark = passed ? 'ok    ' : 'FAILED';
  process.stdout.write(`${mark} ${seconds}  ${check.name.padEnd(10)} ${check.about}${remark}\n`);
  if (!passed) process.stdout.write(`\n${output.trimEnd()}\n\n`);
  return passed;
}

async function main(names: readonly string[]): Promise<number> {
  const unknown = names.filter((name) => !CHECKS.some((check) => check.name === name));
  if (unknown.length > 0) {
    const list = CHECKS.map(({ name, about }) => `  ${name.padEnd(10)} ${about}\n`).join('');
    process.stderr.write(
      `Unknown check: ${unknown.join(', ')}\n\nUsage: npm run check -- [check ...]\n\n${list}`,
    );
    return 2;
  }
  const queue = CHECKS.filter((check) => names.length === 0 || names.includes(check.name));
  const interrupt = new AbortController();
  const onSignal = (): void => interrupt.abort();
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  let passed = 0;
  let failed = 0;
  const worker = async (): Promise<void> => {
    for (let check = queue.shift(); check !== undefined; check = queue.shift()) {
      if (interrupt.signal.aborted) return;
      if (await runCheck(check, interrupt.signal)) passed += 1;
      else failed += 1;
    }
  };
  // After a signal what runs is ended, and its temporary files are removed, before we go.
  await Promise.all(Array.from({ length: Math.min(2, os.availableParallelism()) }, worker));
  if (interrupt.signal.aborted && failed === 0) failed = 1;
  process.stdout.write(`\n${passed} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

process.exitCode = await main(process.argv.slice(2));
