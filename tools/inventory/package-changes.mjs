/**
 * What the installation of a Debian package changes on a machine: the files the package lists, the
 * records and caches of apt and dpkg, and what its scripts and triggers make elsewhere. Which packages
 * were installed is read off dpkg's own record, which has one file list a package.
 */

import { linesOf } from './lines.mjs';

const FILE_LIST = /^\/var\/lib\/dpkg\/info\/([^/]+)\.list$/;
/** Whole directories, or single files, that scripts and triggers of packages write to. */
const BY_SCRIPTS = [
  ...['/var/lib/dpkg', '/var/lib/apt', '/var/lib/ucf', '/var/lib/pam', '/var/lib/systemd'],
  ...['/var/lib/postgresql', '/var/lib/python', '/var/lib/emacsen-common', '/var/lib/vim'],
  ...['/var/cache', '/var/log', '/etc/alternatives', '/etc/ld.so.cache', '/etc/.pwd.lock'],
  ...['/etc/passwd', '/etc/group', '/etc/shadow', '/etc/gshadow', '/etc/subuid', '/etc/subgid'],
  ...['/etc/passwd-', '/etc/group-', '/etc/shadow-', '/etc/gshadow-', '/etc/subuid-'],
  ...['/etc/subgid-', '/etc/shells', '/etc/ssl', '/etc/ca-certificates.conf', '/etc/pam.d'],
  ...['/etc/systemd/system', '/etc/systemd/user', '/etc/postgresql', '/etc/postgresql-common'],
  ...['/etc/apt/apt.conf.d/02autoremove-postgresql', '/etc/sgml', '/etc/xml', '/etc/fonts'],
  ...['/etc/mailcap', '/etc/apparmor.d', '/etc/machine-id', '/etc/udev/hwdb.bin'],
  ...['/usr/share/mime', '/usr/share/info', '/usr/share/icons', '/usr/share/applications'],
  ...['/usr/share/glib-2.0/schemas', '/usr/share/fonts', '/usr/lib/udev/hwdb.bin'],
  ...[
    '/usr/lib/locale',
    '/usr/local/share/fonts',
    '/usr/local/lib',
    '/usr/local/share/ca-certificates',
  ],
];
const BY_TRIGGERS =
  /^\/etc\/rc[0-6S]\.d(\/|$)|\/__pycache__(\/|$)|^\/usr\/lib\/.*\/(gconv-modules|loaders|giomodule|immodules)\.cache$/;
/** Since the directories of the root became links, a package may list a file by either name. */
const MERGED = /^\/(bin|sbin|lib|lib32|lib64|libx32)\//;
/** Where the links of update-alternatives lie, beside those that packages list themselves. */
const ALTERNATIVES = /^\/usr\/(bin|sbin|lib|games|share\/man\/.*)\/[^/]+$/;

/**
 * Packages installed or upgraded between two snapshots, by their names.
 * @param {import('./files.mjs').Files} before @param {import('./files.mjs').Files} after
 */
export function changedPackages(before, after) {
  return [...after]
    .flatMap(([file, stamp]) =>
      before.get(file) === stamp ? [] : (FILE_LIST.exec(file)?.[1] ?? []),
    )
    .toSorted();
}

/**
 * @param {string[]} packages
 * @param {object} machine
 * @param {(name: string) => string[]} [machine.listOf] the files of a package
 * @param {(path: string) => boolean} machine.isAlternative whether it is a link to /etc/alternatives
 * @returns {(path: string) => boolean} whether the installation of these explains a change of the file
 */
export function explainedByPackages(
  packages,
  { listOf = (name) => linesOf(`/var/lib/dpkg/info/${name}.list`), isAlternative },
) {
  if (packages.length === 0) return () => false;
  const listed = new Set(
    packages.flatMap(listOf).map((file) => (MERGED.test(file) ? `/usr${file}` : file)),
  );
  const prefixes = BY_SCRIPTS.map((place) => `${place}/`);
  return (file) =>
    listed.has(file) ||
    BY_SCRIPTS.includes(file) ||
    prefixes.some((prefix) => file.startsWith(prefix)) ||
    BY_TRIGGERS.test(file) ||
    (ALTERNATIVES.test(file) && isAlternative(file));
}
