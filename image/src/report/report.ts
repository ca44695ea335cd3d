/**
 * The report of an image: what is installed in it, and which weaknesses are known of that. What is not
 * known is said as such, with the reason, and never counts as none: `findings` is null as soon as one
 * part of the question could not be asked of Debian's packages at all.
 */
import { access, mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import type { GuestImage } from '../manifest.ts';
import type { FindingCounts } from '../promotion/promotions-file.ts';
import { readInventory, type DebianPackage, type Inventory, type NpmPackage } from './inventory.ts';
import {
  daysTooOld,
  findingsOf,
  knowsRelease,
  readSecurityData,
  SECURITY_DATA_URL,
  SEVERITIES,
  worstFirst,
  type Finding,
  type SecurityData,
} from './security-data.ts';

export interface ImageReport {
  digest: string;
  name: string;
  madeAt: string;
  /** `debian bookworm`; null: the image does not say. */
  system: string | null;
  /** The security data that was asked; null: there was none. */
  data: { path: string; changedAt: string } | null;
  kernel: string;
  /** null: the image has no list, or an empty one. */
  debian: readonly DebianPackage[] | null;
  npm: readonly NpmPackage[];
  /** Worst first; null: not known. */
  findings: readonly Finding[] | null;
  counts: FindingCounts | null;
  /** What this report does not know, and why: sentences. */
  notKnown: readonly string[];
}

/** What is kept of the latest report of an image, for lists. */
export type ReportSummary = Pick<ImageReport, 'madeAt' | 'data' | 'counts'>;

/** Where the security data of this cache directory is looked for. */
export const securityDataPath = (cacheDir: string): string => join(cacheDir, 'security-data.json');

/**
 * @param options.dataPath a file of Debian's security data; undefined: the one of the cache directory,
 *   where there is one
 */
export async function reportImage(options: {
  cacheDir: string;
  image: GuestImage;
  dataPath?: string | undefined;
}): Promise<ImageReport> {
  const { cacheDir, image } = options;
  const usual = securityDataPath(cacheDir);
  const hasUsual = await access(usual).then(
    () => true,
    () => false,
  );
  const path = options.dataPath ?? (hasUsual ? usual : undefined);
  const data = path === undefined ? undefined : await readSecurityData(path);
  const report = makeReport(image, await readInventory(image.rootPath), data, usual);
  await writeSummary(cacheDir, image.digest, report);
  return report;
}

/** Counts of the latest report; undefined: none was made. */
export async function readReportSummary(
  cacheDir: string,
  digest: string,
): Promise<ReportSummary | undefined> {
  try {
    return JSON.parse(await readFile(summaryPath(cacheDir, digest), 'utf8')) as ReportSummary;
  } catch {
    return undefined; // made again by the next report
  }
}

/** With the image goes what was reported of it. */
export async function forgetReport(cacheDir: string, digest: string): Promise<void> {
  await rm(summaryPath(cacheDir, digest), { force: true });
}

const summaryPath = (cacheDir: string, digest: string): string =>
  join(cacheDir, 'reports', `${digest}.json`);

async function writeSummary(cacheDir: string, digest: string, report: ImageReport): Promise<void> {
  const path = summaryPath(cacheDir, digest);
  await mkdir(join(cacheDir, 'reports'), { recursive: true });
  const draft = `${path}.${randomUUID()}`;
  const { madeAt, data, counts } = report;
  await writeFile(draft, JSON.stringify({ madeAt, data, counts } satisfies ReportSummary));
  await rename(draft, path);
}

function makeReport(
  image: GuestImage,
  inventory: Inventory,
  data: SecurityData | undefined,
  usualPath: string,
): ImageReport {
  const { debian, npm, release, system } = inventory;
  const madeAt = new Date().toISOString();
  const obstacle = obstacleTo(inventory, data, usualPath);
  const findings =
    obstacle === undefined && data !== undefined && release !== undefined
      ? findAll(data, release, sourcesOf(debian ?? [], image.kernelPackage))
      : null;
  const notKnown = [
    ...(obstacle === undefined ? [] : [`Weaknesses of its packages: ${obstacle}.`]),
    ...(image.kernelPackage === undefined
      ? [
          `Weaknesses of its kernel ${image.kernelVersion}: the version of its package is not stored.`,
        ]
      : []),
    `Weaknesses of its ${npm.length} npm packages and of Node ${image.nodeVersion}: Debian's data has none of those.`,
    ...ageOf(data, madeAt),
  ];
  return {
    digest: image.digest,
    name: image.name,
    madeAt,
    system: system === undefined ? null : [system, release ?? ''].join(' ').trim(),
    data: data === undefined ? null : { path: data.path, changedAt: data.changedAt },
    kernel: image.kernelPackage ?? image.kernelVersion,
    debian: debian === undefined || debian.length === 0 ? null : debian,
    npm,
    findings,
    counts: findings === null ? null : countOf(findings),
    notKnown,
  };
}

/** Why weaknesses cannot be looked up, as the end of a sentence. */
function obstacleTo(
  { debian, release, system }: Inventory,
  data: SecurityData | undefined,
  usualPath: string,
): string | undefined {
  if (debian === undefined) return 'it has no list of Debian packages';
  if (debian.length === 0) return 'its list of Debian packages names none that is installed';
  if (system !== 'debian' || release === undefined) {
    return `it is ${system ?? 'of an unknown system'}, and the data is about releases of Debian`;
  }
  if (data === undefined) {
    return `there is no security data; put ${SECURITY_DATA_URL} into ${usualPath}, or name it with --data`;
  }
  if (!knowsRelease(data, release)) return `the data ${data.path} does not know ${release}`;
  return undefined;
}

/** Each source package once for each of its versions. */
function sourcesOf(
  debian: readonly DebianPackage[],
  kernelPackage: string | undefined,
): { source: string; version: string }[] {
  const all = debian.map(({ source, sourceVersion }) => ({ source, version: sourceVersion }));
  const kernelVersion = kernelPackage?.split(' ')[1];
  // the signed kernel has the version of the source it was built from (package `linux`)
  if (kernelVersion !== undefined) all.push({ source: 'linux', version: kernelVersion });
  return [...new Map(all.map((one) => [`${one.source} ${one.version}`, one])).values()];
}

const findAll = (
  data: SecurityData,
  release: string,
  sources: readonly { source: string; version: string }[],
): Finding[] => sources.flatMap((one) => findingsOf(data, release, one)).toSorted(worstFirst);

function countOf(findings: readonly Finding[]): FindingCounts {
  return Object.fromEntries(
    SEVERITIES.map((severity) => [
      severity,
      findings.filter((one) => one.severity === severity).length,
    ]),
  );
}

function ageOf(data: SecurityData | undefined, madeAt: string): string[] {
  const days = data === undefined ? undefined : daysTooOld(data, madeAt);
  if (data === undefined || days === undefined) return [];
  return [`Weaknesses of the last ${days} days: that old is ${data.path}.`];
}
