/**
 * The npm packages of a checkout. Promises: `npm ci` runs when `node_modules` is missing, incomplete
 * or of another lock file, and only then; two bootstraps never install into the same checkout at the
 * same time; a failed or interrupted install is seen as such by the next start.
 *
 * What is installed is known from a stamp inside `node_modules`, which holds the hash of the lock file
 * and of every package.json and is written last. Without a fitting stamp npm's own record
 * (`node_modules/.package-lock.json`) is compared with the lock file, so that somebody who ran
 * `npm install` by hand does not wait for a second one.
 */

import { createHash } from 'node:crypto';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { SetupError, runStep } from './progress.mjs';
import { runProgram } from './program.mjs';
import { withSetupLock } from './setup-lock.mjs';

const PROGRESS_POLL_MS = 250;
const ERROR_LINES = 15;
/** The log level is set, since `npm run --silent` would silence this npm, too, and its errors. */
const INSTALL_ARGS = ['ci', '--include=dev', '--no-audit', '--no-fund', '--loglevel=notice'];

const REMEDIES = [
  [
    /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH|E40[134]\b|E5\d\d\b/,
    "the packages could not be fetched. Check the network and npm's settings (npm config list), then start again.",
  ],
  [/ENOSPC/, 'the disk is full. Make room (npm ci needs about 600 MB), then start again.'],
  [
    /EACCES|EPERM|EROFS/,
    'this user may not write here. Check the owner of the checkout and of the npm cache (npm config get cache).',
  ],
  [
    /EINTEGRITY/,
    'a package is not the one the lock file names. Run "npm cache verify" and start again.',
  ],
  [
    /can only install packages when your package.json and package-lock.json|EUSAGE/,
    'package-lock.json does not fit the package.json files. Run "npm install" and "node tools/complete-lock.mjs", and commit the lock file.',
  ],
];

/** @param {string} file */
function readJson(file) {
  return JSON.parse(readFileSync(file, 'utf8'));
}

/**
 * The hash of all that decides what `npm ci` installs.
 * @param {string} root
 */
function installStamp(root) {
  const hash = createHash('sha256');
  const { workspaces = [] } = readJson(path.join(root, 'package.json'));
  const files = [
    'package-lock.json',
    'package.json',
    ...workspaces.map((w) => `${w}/package.json`),
  ];
  for (const file of files) {
    const absolute = path.join(root, file);
    const content = existsSync(absolute) ? readFileSync(absolute) : Buffer.from('absent');
    hash.update(`${file}\0${content.length}\0`).update(content);
  }
  return `${hash.digest('hex')}\n`;
}

/** Packages of the lock file that belong on this machine. */
function wantedPackages(lock) {
  const fits = (list, value) =>
    list === undefined ||
    (!list.includes(`!${value}`) && (list.includes(value) || list[0]?.[0] === '!'));
  return Object.entries(lock.packages ?? {}).filter(
    ([location, entry]) =>
      location.startsWith('node_modules/') &&
      !(
        entry.optional === true &&
        !(fits(entry.os, process.platform) && fits(entry.cpu, process.arch))
      ),
  );
}

/**
 * Whether npm's record of what it installed covers the lock file. Optional packages may be absent:
 * npm leaves out those of other C libraries.
 * @param {{ packages?: Record<string, any> }} lock
 * @param {{ packages?: Record<string, any> }} record
 */
export function recordCoversLock(lock, record) {
  return wantedPackages(lock).every(([location, wanted]) => {
    const present = record.packages?.[location];
    if (present === undefined) return wanted.optional === true;
    return (
      present.version === wanted.version &&
      present.integrity === wanted.integrity &&
      present.resolved === wanted.resolved
    );
  });
}

/**
 * What npm says on an error, from its first word on: what follows is its usage.
 * @param {string} output
 */
function errorLines(output) {
  const lines = output.split('\n').filter((line) => line.startsWith('npm error'));
  return lines.length === 0 ? output : lines.slice(0, ERROR_LINES).join('\n');
}

/**
 * The programs of npm scripts must not come from the `node_modules` that `npm ci` is about to delete.
 * @param {string} root
 */
function pathWithoutCheckout(root) {
  const own = path.join(root, 'node_modules');
  const entries = (process.env.PATH ?? '').split(path.delimiter);
  return entries.filter((entry) => !path.resolve(entry).startsWith(own)).join(path.delimiter);
}

/** @param {string} root @param {string} stampFile */
function isInstalled(root, stampFile) {
  const modules = path.join(root, 'node_modules');
  if (!existsSync(path.join(modules, '.bin', 'node'))) return false;
  const stamp = installStamp(root);
  if (existsSync(stampFile) && readFileSync(stampFile, 'utf8') === stamp) return true;
  const record = path.join(modules, '.package-lock.json');
  const lock = path.join(root, 'package-lock.json');
  if (!existsSync(record) || !existsSync(lock)) return false;
  if (!recordCoversLock(readJson(lock), readJson(record))) return false;
  writeFileSync(stampFile, stamp);
  return true;
}

/** @param {string} root @param {string} stampFile */
async function install(root, stampFile) {
  rmSync(stampFile, { force: true });
  // Optional packages come or do not; the bar counts those that must.
  const wanted = wantedPackages(readJson(path.join(root, 'package-lock.json'))).filter(
    ([, entry]) => entry.optional !== true,
  );
  await runStep('npm packages, Node 24 among them', async (report) => {
    const timer = setInterval(() => {
      const present = wanted.filter(([location]) => existsSync(path.join(root, location))).length;
      report(wanted.length === 0 ? undefined : (present / wanted.length) * 0.99);
    }, PROGRESS_POLL_MS);
    let result;
    try {
      result = await runProgram('npm', INSTALL_ARGS, {
        cwd: root,
        env: { ...process.env, PATH: pathWithoutCheckout(root) },
      });
    } catch (error) {
      throw new SetupError('npm could not be started', {
        remedy:
          'install npm (it comes with Node.js; version 11 is what we test with) and start again.',
        cause: error,
      });
    } finally {
      clearInterval(timer);
    }
    if (result.interruptedBy !== undefined) {
      throw new SetupError(`interrupted by ${result.interruptedBy}`, {
        remedy: 'start again; what was half done is done anew.',
      });
    }
    if (result.code !== 0 || result.signal !== null) {
      const how = result.signal ?? `exit code ${result.code}`;
      const known = REMEDIES.find(([pattern]) => pattern.test(result.output));
      throw new SetupError(`"npm ci" ended with ${how}`, {
        output: errorLines(result.output),
        remedy: known?.[1] ?? 'read the lines above; "npm ci" in this directory shows the same.',
      });
    }
    if (!existsSync(path.join(root, 'node_modules', '.bin', 'node'))) {
      throw new SetupError('npm installed no Node 24 (package "node")', {
        output: result.output,
        remedy:
          'npm must be allowed to run install scripts: npm config get ignore-scripts must say false.',
      });
    }
    writeFileSync(stampFile, installStamp(root));
  });
}

/**
 * Makes `node_modules` of the checkout at `root` fit its lock file.
 * @param {string} root
 */
export async function ensureNpmPackages(root) {
  const stampFile = path.join(root, 'node_modules', '.onejob-install-stamp');
  if (isInstalled(root, stampFile)) return;
  const onWait = () => process.stderr.write('- waiting for another set-up of this checkout\n');
  await withSetupLock(`npm:${root}`, onWait, async () => {
    // The one we waited for has probably done the work.
    if (!isInstalled(root, stampFile)) await install(root, stampFile);
  });
}
