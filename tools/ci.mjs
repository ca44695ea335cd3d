/**
 * The whole verdict on a checkout, from a fresh clone on: set-up, `npm run check`, `npm test`, and an
 * inventory of the machine that shows whether anything stayed behind. Called by .ci/run; runs on Node
 * 20 without any package, and needs neither a terminal nor standard input.
 *
 * The last line is `N passed, N failed`: checks and tests, with set-up and inventory counting as one
 * each. Exit code 0 if nothing failed, 1 otherwise. A signal ends the phase that runs and the rest.
 */

import { mkdirSync } from 'node:fs';
import { SETTLE_MS, cacheHome, describeStayed, watchMachine } from './inventory/watch.mjs';

const COUNTS = /^(\d+) passed, (\d+) failed/gm;

const total = { passed: 0, failed: 0 };

/** @param {string} text */
function print(text) {
  process.stdout.write(text);
}

/** @param {boolean} isGood */
function addOne(isGood) {
  total[isGood ? 'passed' : 'failed'] += 1;
}

/**
 * Runs a phase whose output ends with its counts. One that ended badly without counting a failure
 * failed once.
 * @param {import('./inventory/watch.mjs').Watched} watched @param {string[]} argv
 */
async function runCounted(watched, argv) {
  print(`\n== ${argv.join(' ')}\n\n`);
  let output = '';
  const code = await watched.run(argv, (text) => {
    output += text;
    print(text);
  });
  const last = [...output.matchAll(COUNTS)].at(-1);
  const failed = Number(last?.[2] ?? 0);
  total.passed += Number(last?.[1] ?? 0);
  total.failed += code !== 0 && failed === 0 ? 1 : failed;
  if (last === undefined) {
    print(`\n${argv.join(' ')} ended with exit code ${code} and counted nothing\n`);
    if (code === 0) total.failed += 1;
  }
}

async function main() {
  let interrupted = false;
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.on(signal, () => {
      interrupted = true;
    });
  }

  // Since npm 11 Node keeps npm's compiled code in the temporary directory.
  process.env['NODE_DISABLE_COMPILE_CACHE'] = '1';

  // `--list` makes `test` install everything and run nothing. The packages it installs have
  // directories of their own in /run.
  print('== set-up\n\n');
  const setUp = await watchMachine(
    { ignored: ['/run'], settleMs: SETTLE_MS, mayInstall: true },
    ({ run }) => run(['node', 'tools/bootstrap.mjs', 'test', '--list']),
  );
  if (setUp.stayed.length > 0) print(`\n${describeStayed(setUp.stayed)}`);
  addOne(setUp.result === 0 && setUp.stayed.length === 0);

  // The image cache may stay, and what it is in. /run/mount is the record that mount(8) keeps of what is
  // mounted, /run/netns where iproute2 has names of namespaces from its first use on: both are looked at
  // themselves.
  mkdirSync(cacheHome(), { recursive: true });
  const options = { ignored: ['/run/mount', '/run/netns'], settleMs: SETTLE_MS };
  const { stayed } = await watchMachine(options, async (watched) => {
    for (const script of ['check', 'test']) {
      if (!interrupted) await runCounted(watched, ['npm', 'run', '--silent', script]);
    }
  });
  print(`\n${describeStayed(stayed)}`);
  addOne(stayed.length === 0);
  if (interrupted) {
    print('\ninterrupted by a signal\n');
    addOne(false);
  }
  print(`\n${total.passed} passed, ${total.failed} failed\n`);
  return total.failed === 0 ? 0 : 1;
}

process.exitCode = await main();
