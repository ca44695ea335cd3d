/**
 * `npm test`: runs the tests of all workspaces, first those that run beside each other, then those
 * that boot machines, one a core. `npm run test:long` (or `--long`) runs the long ones only. Writes
 * nothing itself. Exit code 0 if at least one test ran and none failed, 1 otherwise, 2 for wrong flags.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { findTestFiles } from './test-run/find-files.ts';
import type { TestFile, TestKind } from './test-run/find-files.ts';
import { Report } from './test-run/report.ts';
import { runFile } from './test-run/run-file.ts';

const USAGE = `Usage: npm test -- [options] [part of a path ...]

  --long             the long tests (*.long.test.ts) only
  --name <pattern>   only tests whose name matches this regular expression
  --only             only tests marked with { only: true }
  --list             print the files that would run

Tests of *.vm.test.ts boot machines and run after the others, one file a core.
`;

/** Per file. Far above what a healthy file takes, so that only a hang meets it. */
const TIMEOUT_MS: Record<TestKind, number> = {
  parallel: 300_000,
  machines: 600_000,
  long: 3_600_000,
};

/** Files at the same time. One that boots no machine waits for some of its time, so one more fits. */
const WIDTH: Record<TestKind, number> = {
  parallel: os.availableParallelism() + 1,
  machines: os.availableParallelism(),
  long: 1,
};

interface Request {
  readonly root: string;
  readonly files: readonly TestFile[];
  readonly nodeFlags: readonly string[];
}

/** Runs `files`, at most `width` at the same time, in their order. */
async function runPass(
  request: Request,
  files: readonly TestFile[],
  width: number,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  const queue = [...files];
  const worker = async (): Promise<void> => {
    for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
      if (signal.aborted) return;
      const timeoutMs = TIMEOUT_MS[file.kind];
      const { root, nodeFlags } = request;
      report.add(await runFile(file.path, { root, nodeFlags, timeoutMs, signal }));
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
}

async function runTests(request: Request): Promise<number> {
  const startedAtMs = performance.now();
  const report = new Report(process.stdout, request.files.length);
  const interrupt = new AbortController();
  // Files of tests keep here what is dear to make (testing/).
  const shared = mkdtempSync(path.join(os.tmpdir(), 'onejob-test-shared-'));
  process.env['ONEJOB_TEST_SHARED_DIR'] = shared;
  // A process that loads a zone from its sources takes half as long when another has compiled them.
  process.env['NODE_COMPILE_CACHE'] = path.join(shared, 'compiled');
  delete process.env['NODE_DISABLE_COMPILE_CACHE'];
  const onSignal = (signal: NodeJS.Signals): void => interrupt.abort(signal);
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  try {
    for (const kind of ['parallel', 'machines', 'long'] as const) {
      const files = request.files.filter((file) => file.kind === kind);
      await runPass(request, files, WIDTH[kind], report, interrupt.signal);
    }
  } finally {
    process.off('SIGINT', onSignal);
    process.off('SIGTERM', onSignal);
    rmSync(shared, { recursive: true, force: true });
  }
  if (interrupt.signal.aborted) report.addProblem(`stopped by ${String(interrupt.signal.reason)}`);
  else if (report.counts.passed + report.counts.failed === 0) {
    report.addProblem('no test was executed');
  }
  report.end(performance.now() - startedAtMs);
  return report.counts.failed === 0 ? 0 : 1;
}

function readFlags(argv: readonly string[]) {
  return parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      long: { type: 'boolean', default: false },
      name: { type: 'string', multiple: true, default: [] },
      only: { type: 'boolean', default: false },
      list: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
}

async function main(argv: readonly string[]): Promise<number> {
  let flags: ReturnType<typeof readFlags>;
  try {
    flags = readFlags(argv);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    return 2;
  }
  const { values, positionals } = flags;
  if (values.help) {
    process.stdout.write(USAGE);
    return 0;
  }
  const root = path.join(import.meta.dirname, '..');
  const files = findTestFiles(root, positionals).filter(
    (file) => (file.kind === 'long') === values.long,
  );
  if (values.list) {
    process.stdout.write(files.map((file) => `${file.kind.padEnd(8)} ${file.path}\n`).join(''));
    return 0;
  }
  const nodeFlags = values.name.map((pattern) => `--test-name-pattern=${pattern}`);
  if (values.only) nodeFlags.push('--test-only');
  return runTests({ root, files, nodeFlags });
}

process.exitCode = await main(process.argv.slice(2));
