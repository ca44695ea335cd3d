/**
 * What the installation of a Debian package changes on a machine: the files the package lists, the
 * records and caches of apt and dpkg, and what its scripts and triggers make elsewhere. Which packages
 * were installed is read off dpkg's own record, which has one file list a package.
 */

import { linesOf } from './lines.mjs';

const FILE_LIST = /^\/var\/lib\/dpkg\/info\/([^/]+)\.list$/;
/**
 * Where scripts and triggers of packages write as they like: on a bare machine they make what others have
 * had since its installation.
 */
const BY_SCRIPTS = [
  ...['/etc', '/var/lib', '/var/cache', '/var/log', '/usr/local/lib', '/usr/local/share'],
  ...['/usr/share/mime', '/usr/share/info', '/usr/share/icons', '/usr/share/applications'],
  ...['/usr/share/glib-2.0/schemas', '/usr/share/fonts', '/usr/lib/udev/hwdb.bin'],
  '/usr/lib/locale',
];
const BY_TRIGGERS =
  /\/__pycache__(\/|$)|^\/usr\/lib\/.*\/(gconv-modules|loaders|giomodule|immodules)\.cache$/;
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
