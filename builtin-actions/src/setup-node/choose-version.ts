/**
 * Which release of Node a version means: a range, an alias of long-term support (`lts/*`, `lts/-1`,
 * `lts/krypton`) or of the newest (`latest`, `current`, `node`). Pure.
 */
import semver from 'semver';
import { isObject } from './json-object.ts';

export type Wanted =
  | { kind: 'range'; range: string }
  | { kind: 'lts'; alias: string }
  | { kind: 'latest' };

/** An entry of the index of releases. */
export type Release = {
  /** Without `v`. */
  version: string;
  /** Code name of its line of long-term support, in lower case; empty: it is of none. */
  lts: string;
  /** Platforms that there are archives for, as `linux-x64`. */
  platforms: string[];
};

const LATEST = ['current', 'latest', 'node'];

/** @throws Error that names what was given */
export function readWanted(spec: string): Wanted {
  if (LATEST.includes(spec)) return { kind: 'latest' };
  if (spec.startsWith('lts/')) {
    const alias = spec.slice('lts/'.length).toLowerCase();
    if (alias === '') throw new Error(`Unable to parse LTS alias for Node version '${spec}'`);
    return { kind: 'lts', alias };
  }
  const range = semver.validRange(spec);
  if (range !== null && !/-(?:nightly|rc|v8-canary)/.test(spec)) return { kind: 'range', range };
  throw new Error(
    `'${spec}' is no version of Node that onejob can set up: give a range such as 24, 22.x or >=20.1, ` +
      'or lts/*, lts/-1, lts/krypton, latest, node. Nightly builds, release candidates and canaries are not supported.',
  );
}

/** @throws Error: it is no index of releases */
export function readIndex(index: unknown): Release[] {
  if (!Array.isArray(index)) throw new Error('it holds no list of releases');
  return index.filter(isObject).flatMap(({ files, lts, version }) => {
    const valid = typeof version === 'string' ? semver.valid(version) : null;
    if (valid === null || !Array.isArray(files)) return [];
    return [
      {
        version: valid,
        lts: typeof lts === 'string' ? lts.toLowerCase() : '',
        platforms: files.filter((file) => typeof file === 'string'),
      },
    ];
  });
}

/** Code names, the newest line first. */
function ltsLines(releases: readonly Release[]): string[] {
  const newestFirst = releases
    .filter(({ lts }) => lts !== '')
    .toSorted((a, b) => semver.rcompare(a.version, b.version));
  return [...new Set(newestFirst.map(({ lts }) => lts))];
}

/** @throws Error: there is no such line */
function ltsLine(releases: readonly Release[], alias: string): string {
  const lines = ltsLines(releases);
  const back = Number(alias);
  const line = alias === '*' ? lines[0] : back < 0 ? lines[-back] : alias;
  if (line !== undefined && lines.includes(line)) return line;
  throw new Error(`Unable to find LTS release '${alias}' for Node version 'lts/${alias}'.`);
}

/** The newest release that is meant and that there is for the platform; undefined: none. */
export function chooseRelease(
  releases: readonly Release[],
  wanted: Wanted,
  platform: string,
): string | undefined {
  const here = releases.filter(({ platforms }) => platforms.includes(platform));
  const line = wanted.kind === 'lts' ? ltsLine(releases, wanted.alias) : undefined;
  const fitting = here.filter(({ version, lts }) => {
    if (wanted.kind === 'range') return semver.satisfies(version, wanted.range);
    return line === undefined || lts === line;
  });
  return semver.rsort(fitting.map(({ version }) => version))[0];
}

/**
 * Whether a Node that is here already is what is meant, as far as that can be said without the index.
 * @param lts code name of its line, as it says itself; empty: none
 */
export function isFitting(
  wanted: Wanted,
  { version, lts }: { version: string; lts: string },
): boolean {
  if (wanted.kind === 'range') return semver.satisfies(version, wanted.range);
  return wanted.kind === 'lts' && lts !== '' && wanted.alias === lts.toLowerCase();
}
