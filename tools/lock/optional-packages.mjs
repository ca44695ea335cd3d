/**
 * The lock file and packages for other platforms. A package that brings a program per platform lists
 * them all as optional; npm writes those into the lock file that the registry in use has, and leaves
 * the others out without a word. `npm ci` then refuses the whole lock file ("Missing: ... from lock
 * file"), on every machine. An entry with its platform but without a checksum mends that: npm skips
 * it where the platform differs, which is everywhere such an entry is needed on Linux.
 */

/** @typedef {{ packages: Record<string, any> }} Lock */

const PLATFORM =
  /(aix|android|darwin|freebsd|linux|netbsd|openbsd|openharmony|sunos|win32)-(?<cpu>[a-z0-9]+)/;
const CPU_NAMES = { aarch64: 'arm64', armv7: 'arm' };

/**
 * The optional packages that the lock file names and has no entry for. What a package brings in its
 * own archive is no business of the registry.
 * @param {Lock} lock
 */
export function missingOptionalPackages(lock) {
  const asked = Object.entries(lock.packages).filter(([, { inBundle }]) => inBundle !== true);
  return asked.flatMap(([location, entry]) =>
    Object.entries(entry.optionalDependencies ?? {}).flatMap(([name, version]) => {
      const places = [`${location}/node_modules/${name}`, `node_modules/${name}`];
      return places.some((place) => lock.packages[place] !== undefined)
        ? []
        : [{ name, version: String(version), isDev: entry.dev === true }];
    }),
  );
}

/**
 * The entry for such a package; undefined if its name does not say for which platform it is.
 * @param {{ name: string, version: string, isDev: boolean }} one
 */
function entryFor({ name, version, isDev }) {
  const match = PLATFORM.exec(name);
  if (match === null) return undefined;
  const cpu = match.groups?.cpu ?? '';
  const libc = /-(gnu|musl)/.exec(name)?.[1];
  return {
    version,
    cpu: [CPU_NAMES[cpu] ?? cpu],
    ...(isDev ? { dev: true } : {}),
    ...(libc === undefined || match[1] !== 'linux'
      ? {}
      : { libc: [libc === 'musl' ? 'musl' : 'glibc'] }),
    optional: true,
    os: [match[1]],
  };
}

/**
 * The lock file with those entries, in npm's order. Throws if a package's platform is not known.
 * @template {Lock} T
 * @param {T} lock @returns {T}
 */
export function completeLock(lock) {
  const packages = { ...lock.packages };
  for (const one of missingOptionalPackages(lock)) {
    const entry = entryFor(one);
    if (entry === undefined)
      throw new Error(`${one.name} names no platform: add it to the lock file by hand`);
    packages[`node_modules/${one.name}`] = entry;
  }
  const sorted = Object.entries(packages).toSorted(([a], [b]) => a.localeCompare(b, 'en'));
  return { ...lock, packages: Object.fromEntries(sorted) };
}
