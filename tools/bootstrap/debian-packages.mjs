/**
 * The programs onejob needs from the system, and how they get there. Promises: nothing is installed
 * that is there already (looking costs a few stat calls, no process); what will be installed is named
 * with its reason first; only root installs, everybody else is told the one line to type; no service
 * is started by it, and no database cluster made; what was put down for that is taken away again.
 */

import { accessSync, constants, existsSync, mkdirSync, readFileSync, readdirSync } from 'node:fs';
import { rmSync, rmdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { SetupError, runStep } from './progress.mjs';
import { runProgram } from './program.mjs';
import { withSetupLock } from './setup-lock.mjs';

/**
 * @typedef {object} DebianPackage
 * @property {string} name
 * @property {string} why
 * @property {string[]} proof any of these shows that it is there: a program on PATH, an absolute
 *   path, or an absolute path with one `*` for a directory name
 */

/** @type {DebianPackage[]} what building the guest image and running sandboxes takes */
const SANDBOX = [
  { name: 'git', why: "snapshots of the user's checkout, and serving them", proof: ['git'] },
  { name: 'qemu-system-x86', why: 'the machine of a job', proof: ['qemu-system-x86_64'] },
  { name: 'mmdebstrap', why: 'builds the guest system', proof: ['mmdebstrap'] },
  { name: 'erofs-utils', why: 'packs the guest system into an image', proof: ['mkfs.erofs'] },
  { name: 'e2fsprogs', why: 'makes the work disk of a job', proof: ['mke2fs'] },
  { name: 'lz4', why: "unpacks Debian's kernel", proof: ['lz4'] },
  { name: 'gcc', why: "compiles the guest's small init", proof: ['gcc'] },
  { name: 'libc6-dev', why: 'headers for that init', proof: ['/usr/include/stdlib.h'] },
  { name: 'util-linux', why: 'setpriv: a sandbox dies with its agent', proof: ['setpriv'] },
  { name: 'mount', why: "the root directory of a job's machine", proof: ['mount'] },
];

/** @type {DebianPackage[]} what networks of sandboxes take (`--network nat`) */
const NETWORKS = [
  { name: 'iproute2', why: 'makes the network of a machine that has one', proof: ['ip'] },
  { name: 'nftables', why: 'the rules of such networks', proof: ['nft', '/usr/sbin/nft'] },
  {
    name: 'conntrack',
    why: 'tells what went through them',
    proof: ['conntrack', '/usr/sbin/conntrack'],
  },
];

/** @type {DebianPackage} */
const POSTGRES = {
  name: 'postgresql',
  why: 'the store is tested on a real server too (none is left running)',
  proof: ['/usr/lib/postgresql/*/bin/initdb', 'initdb'],
};

/** @type {DebianPackage} */
const CPIO = { name: 'cpio', why: 'tests unpack the initramfs with it', proof: ['cpio'] };

/** @type {DebianPackage} */
const SSH = { name: 'openssh-client', why: 'tests check a repository out by it', proof: ['ssh'] };

/** @type {DebianPackage[]} */
const FOR_CHECKOUTS = [
  { name: 'git-lfs', why: 'tests check large files out with it', proof: ['git-lfs'] },
  { name: 'curl', why: 'jobs of the tests ask servers with it', proof: ['curl'] },
];

/** @type {DebianPackage[]} */
const FOR_ACTIONS = [
  { name: 'rsync', why: 'a published action that the tests run copies with it', proof: ['rsync'] },
  { name: 'openssl', why: 'tests make a certificate for a server of theirs', proof: ['openssl'] },
];
/** @type {DebianPackage[]} */
const FOR_DRIVERS = [
  { name: 'runsc', why: 'tests run sandboxes of gVisor with it', proof: ['runsc'] },
  { name: 'docker.io', why: 'tests start an engine of their own from it', proof: ['dockerd'] },
];
/** @type {DebianPackage[]} */
const FOR_LONG_TESTS = [
  { name: 'podman', why: 'tests run the driver docker on an engine of it', proof: ['podman'] },
  { name: 'catatonit', why: 'the first process of its containers', proof: ['catatonit'] },
];
/** @type {DebianPackage} */
const IPTABLES = {
  name: 'iptables',
  why: 'tests set a firewall up with it as container engines do',
  proof: ['iptables', '/usr/sbin/iptables'],
};
const SHELLS = ['zsh', 'fish'].map((name) => ({
  name,
  why: 'tests complete a line in it',
  proof: [name],
}));

/** @type {DebianPackage[]} */
const FOR_ARCHIVES = ['skopeo', 'umoci'].map((name) => ({
  name,
  why: 'tests import images that it made',
  proof: [name],
}));

/** @type {DebianPackage[]} */
const FOR_TESTS = [
  POSTGRES,
  CPIO,
  SSH,
  ...FOR_CHECKOUTS,
  ...FOR_ACTIONS,
  ...FOR_DRIVERS,
  ...SHELLS,
  ...NETWORKS,
  IPTABLES,
  ...FOR_ARCHIVES,
];

/** Which command needs what. `check` needs nothing but npm packages. */
export const PACKAGES_OF_COMMAND = {
  onejob: SANDBOX,
  demo: SANDBOX,
  test: [...SANDBOX, ...FOR_TESTS],
  'test:long': [...SANDBOX, ...FOR_TESTS, ...FOR_LONG_TESTS],
  bench: [...SANDBOX, ...NETWORKS, POSTGRES],
  check: [],
};

/** Files that keep a package's service from starting; the text says who may delete them. */
const MARK = 'Written by the set-up of onejob while it installs packages. It may be deleted.';
const POLICY_TEXT = `#!/bin/sh\n# ${MARK}\nexit 101\n`;
const CLUSTER_TEXT = `# ${MARK}\ncreate_main_cluster = false\n`;

/**
 * Where the set-up reads and writes outside the checkout, and as whom.
 * @typedef {typeof THIS_MACHINE} Machine
 */
const THIS_MACHINE = {
  isRoot: process.getuid?.() === 0,
  aptGet: '/usr/bin/apt-get',
  aptLists: '/var/lib/apt/lists',
  policyFile: '/usr/sbin/policy-rc.d',
  clusterFile: '/etc/postgresql-common/createcluster.d/onejob-setup.conf',
};

/** How long apt may wait for another apt. */
const APT_LOCK_TIMEOUT_S = 300;

/** @param {string} file */
function isExecutable(file) {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** @param {string} proof @param {string[]} searchPath */
function isPresent(proof, searchPath) {
  if (!proof.startsWith('/')) return searchPath.some((dir) => isExecutable(path.join(dir, proof)));
  const star = proof.indexOf('*');
  if (star < 0) return existsSync(proof);
  const parent = proof.slice(0, star);
  if (!existsSync(parent)) return false;
  return readdirSync(parent).some((name) => existsSync(parent + name + proof.slice(star + 1)));
}

/**
 * The packages of which no proof is found.
 * @param {DebianPackage[]} packages
 * @param {string} [searchPathText] as in PATH; the administrator's directories are added
 */
export function missingPackages(packages, searchPathText = process.env.PATH ?? '') {
  const searchPath = [
    ...searchPathText.split(path.delimiter),
    '/usr/local/sbin',
    '/usr/sbin',
    '/sbin',
  ];
  return packages.filter(({ proof }) => !proof.some((one) => isPresent(one, searchPath)));
}

/**
 * Reads one line of apt's status descriptor.
 * @param {string} line e.g. `pmstatus:git:45.4545:Unpacking git (amd64)`
 */
export function parseAptStatus(line) {
  const match = /^(dlstatus|pmstatus):([^:]*):([\d.]+):(.*)$/.exec(line);
  if (match === null) return undefined;
  const percent = Number(match[3]);
  const fraction = match[1] === 'dlstatus' ? percent / 200 : 0.5 + percent / 200;
  return { fraction, text: match[4] };
}

/**
 * @param {Machine} machine @param {string[]} args
 * @param {(fraction: number | undefined, text?: string) => void} report
 */
async function aptGet(machine, args, report) {
  const options = [
    `-oDPkg::Lock::Timeout=${APT_LOCK_TIMEOUT_S}`,
    '-oAPT::Status-Fd=3',
    '-oDpkg::Use-Pty=0',
    '-qq',
  ];
  const result = await runProgram(machine.aptGet, [...options, ...args], {
    env: {
      ...process.env,
      DEBIAN_FRONTEND: 'noninteractive',
      NEEDRESTART_SUSPEND: '1',
      LC_ALL: 'C.UTF-8',
    },
    onStatus: (line) => {
      const status = parseAptStatus(line);
      if (status !== undefined) report(status.fraction, status.text);
    },
  });
  if (result.interruptedBy !== undefined) {
    throw new SetupError(`interrupted by ${result.interruptedBy}`, {
      remedy:
        'start again; if apt complains then, "dpkg --configure -a" completes what was cut off.',
    });
  }
  return result;
}

/** @param {string} lists */
function haveAptLists(lists) {
  return existsSync(lists) && readdirSync(lists).some((name) => /_Packages(\.\w+)?$/.test(name));
}

/** @param {string} file @param {string} text @param {number} mode */
function putDown(file, text, mode) {
  if (existsSync(file) && readFileSync(file, 'utf8') !== text) return () => {};
  const directory = path.dirname(file);
  const created = mkdirSync(directory, { recursive: true });
  writeFileSync(file, text, { mode });
  return () => {
    rmSync(file, { force: true });
    // Directories we made go too, unless a package has put something there.
    for (
      let dir = directory;
      created !== undefined && dir.startsWith(created);
      dir = path.dirname(dir)
    ) {
      try {
        rmdirSync(dir);
      } catch {
        return;
      }
    }
  };
}

/** @param {Machine} machine @param {DebianPackage[]} packages */
async function install(machine, packages) {
  const names = packages.map(({ name }) => name);
  const undo = [];
  try {
    undo.push(putDown(machine.policyFile, POLICY_TEXT, 0o755));
    if (names.includes('postgresql')) undo.push(putDown(machine.clusterFile, CLUSTER_TEXT, 0o644));
    await runStep(`Debian packages (${names.join(', ')})`, async (report) => {
      const installArgs = ['install', '-y', '--no-install-recommends', ...names];
      let result;
      let updateOutput = '';
      if (haveAptLists(machine.aptLists)) result = await aptGet(machine, installArgs, report);
      // No lists, or lists older than the mirror: fetch them, once.
      if (
        result === undefined ||
        /Unable to locate|404|Hash Sum|no installation candidate/.test(result.output)
      ) {
        report(0, "reading the machine's apt sources");
        const update = await aptGet(machine, ['update'], () => {});
        updateOutput = update.output;
        if (update.code !== 0) {
          throw new SetupError('"apt-get update" failed', {
            output: update.output,
            remedy: 'check the network and /etc/apt/sources.list*, then start again.',
          });
        }
        result = await aptGet(machine, installArgs, report);
      }
      if (result.code !== 0) {
        throw new SetupError(`"apt-get install" ended with exit code ${result.code}`, {
          // A source that could not be reached is only a warning of the update.
          output: updateOutput + result.output,
          remedy: `type it by hand to see more: ${installLine(packages)}`,
        });
      }
      const absent = missingPackages(packages);
      if (absent.length > 0) {
        const programs = absent.map(({ proof }) => proof.join(' or ')).join(', ');
        throw new SetupError(`apt is content, but there is still no ${programs}`, {
          output: result.output,
          remedy: `put it back: ${installLine(absent).replace('install', 'install --reinstall')}`,
        });
      }
    });
  } finally {
    for (const step of undo.toReversed()) step();
  }
}

/** @param {DebianPackage[]} packages */
function installLine(packages, sudo = '') {
  return `${sudo}apt-get install --no-install-recommends ${packages.map(({ name }) => name).join(' ')}`;
}

/**
 * Makes sure that what `packages` name is there, or says what is missing and goes on.
 * @param {DebianPackage[]} packages
 * @param {Machine} [machine]
 */
export async function ensureDebianPackages(packages, machine = THIS_MACHINE) {
  let missing = missingPackages(packages);
  if (missing.length === 0) return;
  const say = (text) => process.stderr.write(`${text}\n`);
  const list = () => missing.map(({ name, why }) => `    ${name.padEnd(16)} ${why}`).join('\n');

  if (!isExecutable(machine.aptGet)) {
    say(`! Not installed on this machine, which is no Debian (Debian's names):\n${list()}`);
    say('  Going on with what is there; what needs them will say so.');
    return;
  }
  if (!machine.isRoot) {
    say(`! Not installed, and only root can install:\n${list()}`);
    say(`  To install: ${installLine(missing, 'sudo ')}`);
    say('  Going on with what is there; what needs them will say so.');
    return;
  }
  const onWait = () => say('- waiting for another set-up that installs Debian packages');
  await withSetupLock('debian-packages', onWait, async () => {
    missing = missingPackages(packages);
    if (missing.length === 0) return;
    say(`- These Debian packages are missing and will now be installed:\n${list()}`);
    await install(machine, missing);
  });
}
