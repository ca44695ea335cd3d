/**
 * The first program anyone runs: makes a fresh checkout ready (npm packages with Node 24 among them,
 * Debian packages), then runs a command of the repository under that Node. It runs on Node 20 with no
 * package installed, hence plain JavaScript. When all is ready already it prints nothing and costs
 * the start of one small Node process.
 *
 *     node tools/bootstrap.mjs <command> [arguments]
 *
 * Exit codes: the command's own; 2 for an unknown command; 3 when the set-up failed.
 */

import { existsSync, realpathSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { PACKAGES_OF_COMMAND, ensureDebianPackages } from './bootstrap/debian-packages.mjs';
import { ensureNpmPackages } from './bootstrap/npm-packages.mjs';
import { SetupError, describeFailure, wasShown } from './bootstrap/progress.mjs';
import { runCommand } from './bootstrap/run-command.mjs';

const EXIT_USAGE = 2;
const EXIT_SETUP_FAILED = 3;
const OLDEST_NODE_MAJOR = 20;

/** @type {Record<keyof typeof PACKAGES_OF_COMMAND, { argv: string[], about: string }>} */
const COMMANDS = {
  onejob: { argv: ['cli/src/main.ts'], about: 'onejob itself: npm run onejob -- --help' },
  demo: { argv: ['e2e/src/demo.ts'], about: 'runs the example repository in microVMs' },
  test: { argv: ['tools/test.ts'], about: 'all tests but the long ones' },
  'test:long': { argv: ['tools/test.ts', '--long'], about: 'the long tests only' },
  check: { argv: ['tools/check.ts'], about: 'types, lint, format, repository rules, dead code' },
  bench: { argv: ['bench/src/main.ts'], about: 'measurements, as JSON' },
};

function usage() {
  const lines = Object.entries(COMMANDS).map(
    ([name, { about }]) => `  ${name.padEnd(10)} ${about}`,
  );
  return [
    'Usage: node tools/bootstrap.mjs <command> [arguments]',
    '       npm run <command> -- [arguments]',
    '',
    'Installs what is missing (npm packages; as root on Debian also system packages), then runs:',
    '',
    ...lines,
    '',
  ].join('\n');
}

/** @param {string[]} argv */
async function main(argv) {
  const [name, ...args] = argv;
  if (name === '--help' || name === '-h') {
    process.stdout.write(usage());
    return 0;
  }
  if (name === undefined || !Object.hasOwn(COMMANDS, name)) {
    const what = name === undefined ? 'No command given.' : `Unknown command "${name}".`;
    process.stderr.write(`${what}\n\n${usage()}`);
    return EXIT_USAGE;
  }
  const root = realpathSync(fileURLToPath(new URL('..', import.meta.url)));
  const command = COMMANDS[name];
  try {
    refuseWhatCannotWork(root, command.argv[0]);
    await ensureNpmPackages(root);
    await ensureDebianPackages(PACKAGES_OF_COMMAND[name]);
  } catch (error) {
    if (!wasShown(error)) process.stderr.write(`${describeFailure('set-up', error)}\n`);
    return EXIT_SETUP_FAILED;
  }
  // npm changes into the checkout; onejob works where the user stands.
  const cwd = name === 'onejob' ? (process.env.INIT_CWD ?? process.cwd()) : root;
  return runCommand(root, [...command.argv, ...args], cwd);
}

/** @param {string} root @param {string} script */
function refuseWhatCannotWork(root, script) {
  if (process.platform !== 'linux') {
    throw new SetupError(`onejob runs on Linux, this is ${process.platform}`, {
      remedy: 'use a Linux machine; Debian 12 is what we test on.',
    });
  }
  if (Number(process.versions.node.split('.')[0]) < OLDEST_NODE_MAJOR) {
    throw new SetupError(`this Node.js is too old (${process.version})`, {
      remedy: `install Node.js ${OLDEST_NODE_MAJOR} or newer; Node 24 itself then comes as an npm package.`,
    });
  }
  if (!existsSync(path.join(root, script))) {
    throw new SetupError(`this checkout has no ${script}`, {
      remedy: 'compare it with the repository (git status); the file belongs to it.',
    });
  }
}

process.exitCode = await main(process.argv.slice(2));
