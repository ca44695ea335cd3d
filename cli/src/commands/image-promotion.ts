/** `onejob image promote|rollback|report`: which image new jobs get, and what is known of it. */
import { resolve } from 'node:path';
import { findDirectories, terminalStyle } from '../config/environment.ts';
import { ImageStore, type Gate, type ImageReport, type Promotion } from '../embedded/images.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { painter, safeText } from '../show/style.ts';
import { table } from '../show/table.ts';
import { Interrupts } from './interrupt.ts';

const print = (text: string): void => void process.stdout.write(`${text}\n`);
const short = (digest: string): string => digest.slice(0, 12);
const stored = (signal?: AbortSignal): ImageStore =>
  new ImageStore(findDirectories(undefined).cache, signal);

export type { Gate };
export type PromoteFlags = { label?: string; maxSeverity: Gate; force?: string; data?: string };
export type ReportFlags = { data?: string; packages: boolean; json: boolean };

export async function imagePromote(reference: string, flags: PromoteFlags): Promise<ExitCode> {
  using interrupts = new Interrupts();
  const { label, maxSeverity, force, data } = flags;
  const { report, promotion } = await stored(interrupts.signal).promote(reference, {
    label,
    maxSeverity,
    force,
    dataPath: data === undefined ? undefined : resolve(data),
  });
  print(promotion === undefined ? 'New jobs get it already.' : describeChange(promotion));
  for (const one of describeKnowledge(report)) print(safeText(one, false));
  return EXIT.success;
}

export async function imageRollback(flags: { label?: string }): Promise<ExitCode> {
  using interrupts = new Interrupts();
  print(describeChange(await stored(interrupts.signal).rollback(flags.label)));
  return EXIT.success;
}

export async function imageReport(
  reference: string | undefined,
  flags: ReportFlags,
): Promise<ExitCode> {
  const data = flags.data === undefined ? undefined : resolve(flags.data);
  const report = await stored().report(reference, data);
  print(flags.json ? JSON.stringify(report) : describeReport(report, flags.packages));
  return EXIT.success;
}

function describeReport(report: ImageReport, hasPackages: boolean): string {
  const { color } = terminalStyle(process.stdout);
  const paint = painter(color);
  const { debian, findings, npm } = report;
  const lines = [
    `${report.name} ${short(report.digest)}: ${report.system ?? 'an unknown system'}, kernel ${report.kernel}`,
    `Packages: ${debian === null ? 'not known' : debian.length} of Debian, ${npm.length} of npm`,
    ...describeKnowledge(report),
  ];
  if (findings !== null && findings.length > 0) {
    const header = ['severity', 'weakness', 'source package', 'installed', 'fixed in', 'rating'];
    const rows = findings.map((one) => [
      one.severity,
      one.id,
      one.source,
      one.installedVersion,
      one.fixedVersion ?? '-',
      one.rating,
    ]);
    lines.push('', table([header.map((cell) => paint('dim', cell)), ...rows]));
  }
  if (hasPackages) {
    const rows = [
      ...(debian ?? []).map((one) => ['debian', one.name, one.version, `of ${one.source}`]),
      ...npm.map((one) => ['npm', one.name, one.version, `in ${one.path}`]),
    ];
    lines.push('', table(rows));
  }
  const rows = lines.join('\n').split('\n');
  return rows.map((row) => safeText(row, color)).join('\n');
}

/** What is known of an image's weaknesses, since when, and what is not: a line each. */
const describeKnowledge = ({ counts, data, notKnown }: ImageReport): string[] => [
  `Findings: ${describeCounts(counts)}`,
  ...(data === null ? [] : [`Security data: ${data.path} of ${data.changedAt.slice(0, 10)}`]),
  ...notKnown.map((one) => `Not known: ${one}`),
];

/** `high 0, medium 3, ...`; what is not known is never "none". */
export function describeCounts(counts: Readonly<Record<string, number>> | null): string {
  if (counts === null) return 'not known';
  const found = Object.entries(counts).toReversed();
  if (found.every(([, count]) => count === 0)) return 'none known';
  return found.map(([severity, count]) => `${severity} ${count}`).join(', ');
}

function describeChange({ label, digest, name, previous }: Promotion): string {
  const who = label === null ? 'New jobs' : `New jobs with the label ${label}`;
  const what = digest === null ? whatIsBuilt(label) : `${name ?? ''} ${short(digest)}`;
  const before = previous === null ? '' : `; before: ${short(previous)}`;
  return `${who} get ${what}${before}. Those that run keep theirs.`;
}

const whatIsBuilt = (label: string | null): string =>
  label === null ? 'the image that onejob builds' : 'what jobs without that label get';

/** Newest first. */
export function describeHistory(history: readonly Promotion[], shown: number): string {
  const rows = history
    .slice(-shown)
    .toReversed()
    .map((one) => [
      one.at.slice(0, 16).replace('T', ' '),
      one.action,
      one.label ?? '',
      one.digest === null ? whatIsBuilt(one.label) : `${short(one.digest)} ${one.name ?? ''}`,
      `by ${safeText(one.by, false)}`,
      one.action === 'promote' ? `findings ${describeCounts(one.findings)}` : '',
      one.forced === null ? '' : `forced: ${safeText(one.forced, false)}`,
    ]);
  return table(rows);
}
