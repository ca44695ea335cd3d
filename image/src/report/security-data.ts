/**
 * Debian's own knowledge of weaknesses: the JSON of https://security-tracker.debian.org/tracker/data/json,
 * a file on this host. By source package, then by the weakness's name, then by release:
 *
 *     { "openssl": { "CVE-2024-0001": { "description": "...", "releases": { "bookworm": {
 *         "status": "open" | "resolved" | "undetermined", "urgency": "not yet assigned", ...,
 *         "fixed_version": "3.0.15-1~deb12u1", "nodsa": "Minor issue" } } } } }
 *
 * A package of a release is affected when its state there is open, or resolved in a newer version than
 * is installed (`fixed_version` 0: never affected). Urgencies become severities by the table below; but
 * Debian leaves nearly all at `not yet assigned`, also what it has published an advisory and a fix for.
 * Of those
 *
 *     Debian decided not to hurry (`nodsa`, or `nodsa_reason`: ignored, postponed)      low
 *     the release has a fix that is not installed: Debian found it worth an update      high
 *     neither                                                                           medium
 */
import { readFile, stat } from 'node:fs/promises';
import { ImageError } from '../errors.ts';
import { DAY_MS, SECURITY_DATA_BYTES, SECURITY_DATA_MAX_AGE_MS } from '../limits.ts';
import { compareDebianVersions } from './debian-version.ts';

/** Where Debian publishes it. */
export const SECURITY_DATA_URL = 'https://security-tracker.debian.org/tracker/data/json';

/** Mildest first. */
export const SEVERITIES = ['negligible', 'low', 'medium', 'high'] as const;
export type Severity = (typeof SEVERITIES)[number];

const UNRATED = 'not yet assigned';

/**
 * Debian's urgencies (https://security-team.debian.org/security_tracker.html). What nobody has rated
 * or decided yet is `medium`: neither harmless nor an alarm; `end-of-life` means that nobody will mend it.
 */
const SEVERITY_OF_URGENCY: Readonly<Record<string, Severity>> = {
  unimportant: 'negligible',
  low: 'low',
  medium: 'medium',
  [UNRATED]: 'medium',
  high: 'high',
  'end-of-life': 'high',
};

export interface Finding {
  /** `CVE-...`, or the tracker's own `TEMP-...`. */
  id: string;
  source: string;
  installedVersion: string;
  /** null: there is none in this release yet. */
  fixedVersion: string | null;
  severity: Severity;
  /** In the tracker's words: `not yet assigned`, `no DSA: Minor issue, postponed`. */
  rating: string;
}

export interface SecurityData {
  path: string;
  /** When the file was written. */
  changedAt: string;
  /** By source package; of what shape its values are is found out when they are read. */
  packages: Readonly<Record<string, unknown>>;
}

export async function readSecurityData(path: string): Promise<SecurityData> {
  let text: string;
  let changedAt: Date;
  try {
    const found = await stat(path);
    if (found.size > SECURITY_DATA_BYTES) throw wrong(path, 'it is larger than 512 MiB');
    changedAt = found.mtime;
    text = await readFile(path, 'utf8');
  } catch (cause) {
    if (cause instanceof ImageError) throw cause;
    throw new ImageError('image_not_found', `the security data ${path} cannot be read`, { cause });
  }
  let packages: unknown;
  try {
    packages = JSON.parse(text);
  } catch (cause) {
    throw wrong(path, 'it is no JSON', cause);
  }
  if (!isRecord(packages) || Object.keys(packages).length === 0) {
    throw wrong(path, 'it has no packages');
  }
  if (!Object.values(packages).some((one) => isRecord(one) && Object.values(one).some(isIssue))) {
    throw wrong(path, 'it has no weakness with releases');
  }
  return { path, changedAt: changedAt.toISOString(), packages };
}

/** Age of the data in whole days, where it is too old to judge by; undefined: it is not. */
export function daysTooOld({ changedAt }: { changedAt: string }, at: string): number | undefined {
  const ageMs = Date.parse(at) - Date.parse(changedAt);
  return ageMs > SECURITY_DATA_MAX_AGE_MS ? Math.floor(ageMs / DAY_MS) : undefined;
}

/** What is known of one source package of a release, worst first. */
export function findingsOf(
  data: SecurityData,
  release: string,
  { source, version }: { source: string; version: string },
): Finding[] {
  const issues = Object.hasOwn(data.packages, source) ? data.packages[source] : undefined;
  if (!isRecord(issues)) return [];
  return Object.entries(issues)
    .flatMap(([id, issue]) => {
      const state = isIssue(issue) ? issue.releases[release] : undefined;
      return isRecord(state) ? affected(id, source, version, state) : [];
    })
    .toSorted(worstFirst);
}

/** Has it anything about that release? Else nothing found means nothing. */
export function knowsRelease({ packages }: SecurityData, release: string): boolean {
  return Object.values(packages).some(
    (issues) =>
      isRecord(issues) &&
      Object.values(issues).some((one) => isIssue(one) && Object.hasOwn(one.releases, release)),
  );
}

export const worstFirst = (a: Finding, b: Finding): number =>
  rankOf(b.severity) - rankOf(a.severity) || (a.id < b.id ? -1 : 1);

export const rankOf = (severity: Severity): number => SEVERITIES.indexOf(severity);

function affected(
  id: string,
  source: string,
  version: string,
  state: Record<string, unknown>,
): Finding[] {
  const isResolved = state['status'] === 'resolved';
  // without a version nothing could be checked, so it is told
  const fixedVersion = (isResolved ? textOf(state['fixed_version']) : undefined) ?? null;
  // 0: it never was in this release
  if (fixedVersion !== null && compareDebianVersions(version, fixedVersion) >= 0) return [];
  // an older rating by others is marked by asterisks
  const urgency = (textOf(state['urgency']) ?? UNRATED).replace(/\*+$/, '');
  const decision = decisionOf(state);
  const ratings = [
    state['status'] === 'undetermined' ? 'undetermined' : '',
    urgency === UNRATED && decision !== undefined ? '' : urgency,
    decision ?? '',
  ];
  return [
    {
      id,
      source,
      installedVersion: version,
      fixedVersion,
      severity: severityOf(urgency, decision !== undefined, fixedVersion !== null),
      rating: ratings.filter((one) => one !== '').join(', '),
    },
  ];
}

function severityOf(urgency: string, isDecided: boolean, hasFix: boolean): Severity {
  if (urgency === UNRATED && isDecided) return 'low';
  if (urgency === UNRATED && hasFix) return 'high';
  // a word that Debian did not have when this was written is no reason to call it harmless
  return SEVERITY_OF_URGENCY[urgency] ?? 'medium';
}

/** Debian's decision to publish no advisory for it, which may be given without a reason. */
function decisionOf({ nodsa, nodsa_reason }: Record<string, unknown>): string | undefined {
  const reasons = [nodsa, nodsa_reason].map(textOf).filter((one) => one !== undefined);
  if (reasons.length > 0) return `no DSA: ${reasons.join(', ')}`;
  return typeof nodsa === 'string' ? 'no DSA' : undefined;
}

type Issue = { releases: Record<string, unknown> };

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const isIssue = (value: unknown): value is Issue => isRecord(value) && isRecord(value['releases']);

const textOf = (value: unknown): string | undefined =>
  typeof value === 'string' && value !== '' ? value : undefined;

function wrong(path: string, what: string, cause?: unknown): ImageError {
  return new ImageError(
    'image_refused',
    `${path} is not Debian's security data: ${what}; fetch ${SECURITY_DATA_URL} again`,
    { cause },
  );
}
