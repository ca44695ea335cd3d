/**
 * Runs a command and shows what of it stayed on the machine: processes, mounts, the network's
 * configuration, namespaces, packet filter rules, control groups, sockets, System V IPC, loop devices,
 * kernel modules, users, Debian packages, files. It knows no name of onejob. Runs on Node 20 without
 * any package. What is watched and what is not: tools/inventory/.
 *
 *     node tools/inventory.mjs [--ignore <path>]... [--below <path>] [--settle <ms>] -- <command> ...
 *
 * `--below` looks at files below one directory only; everything else is watched as ever.
 *
 * Exit codes: the command's own; 4 if the command succeeded but something stayed; 2 for wrong flags.
 */

import path from 'node:path';
import { SETTLE_MS, describeStayed, watchMachine } from './inventory/watch.mjs';

const EXIT_USAGE = 2;
const EXIT_SOMETHING_STAYED = 4;

/** @param {string[]} argv */
function readArguments(argv) {
  const separator = argv.indexOf('--');
  if (separator < 0 || separator === argv.length - 1) return undefined;
  const ignored = [];
  const flags = argv.slice(0, separator);
  let settleMs = SETTLE_MS;
  let below = '/';
  for (let at = 0; at < flags.length; at += 2) {
    const value = flags[at + 1];
    if (value === undefined) return undefined;
    if (flags[at] === '--ignore') ignored.push(path.resolve(value));
    else if (flags[at] === '--below') below = path.resolve(value);
    else if (flags[at] === '--settle' && /^\d+$/.test(value)) settleMs = Number(value);
    else return undefined;
  }
  return { ignored, settleMs, below, command: argv.slice(separator + 1) };
}

/** @param {string[]} argv */
async function main(argv) {
  const request = readArguments(argv);
  if (request === undefined) {
    process.stderr.write(
      'Usage: node tools/inventory.mjs [--ignore <path>]... [--below <path>] [--settle <ms>] -- <command> ...\n',
    );
    return EXIT_USAGE;
  }
  const { result, stayed } = await watchMachine(request, ({ run }) => run(request.command));
  process.stdout.write(`\n${describeStayed(stayed)}`);
  return result === 0 && stayed.length > 0 ? EXIT_SOMETHING_STAYED : result;
}

process.exitCode = await main(process.argv.slice(2));
