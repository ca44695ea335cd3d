/**
 * The gate before new jobs: an image with known weaknesses of a severity or worse is refused, and so is
 * one of which nothing is known. Each refusal names what it found and what to do; it can be overruled
 * with a reason, which the history keeps.
 */
import { ImageError } from '../errors.ts';
import { REASON_CHARACTERS, REFUSAL_FINDINGS } from '../limits.ts';
import type { Promotion } from '../promotion/promotions-file.ts';
import type { ImageReport } from './report.ts';
import { rankOf, SEVERITIES, type Finding } from './security-data.ts';

/** From this severity on findings refuse an image; `none`: no gate. */
export type Gate = (typeof SEVERITIES)[number] | 'none';

export type Judgement = Pick<Promotion, 'findings' | 'maxSeverity' | 'forced'> & { digest: string };

/** @param options.force why a refusal is overruled */
export function judgeImage(
  report: ImageReport,
  options: { maxSeverity: Gate; force?: string | undefined },
): Judgement {
  const { maxSeverity, force } = options;
  const reason = force?.trim();
  if (reason === '' || (reason ?? '').length > REASON_CHARACTERS) {
    const message = `a reason has 1 to ${REASON_CHARACTERS} characters; the history keeps it`;
    throw new ImageError('image_refused', message);
  }
  const refusal = refusalOf(report, maxSeverity);
  if (refusal !== undefined && reason === undefined) {
    throw new ImageError('image_refused', refusal);
  }
  return {
    digest: report.digest,
    findings: report.counts,
    maxSeverity: maxSeverity === 'none' ? null : maxSeverity,
    forced: reason ?? null,
  };
}

function refusalOf(report: ImageReport, maxSeverity: Gate): string | undefined {
  if (maxSeverity === 'none') return undefined;
  const what = `${report.name} ${report.digest.slice(0, 12)} is not promoted`;
  const overrule = 'To promote it all the same: --force "<reason>", which the history keeps.';
  if (report.findings === null) {
    const [why = ''] = report.notKnown;
    return `${what}: its weaknesses are not known.\n${why}\n${overrule} Without any gate: --max-severity none.`;
  }
  const bad = report.findings.filter(({ severity }) => rankOf(severity) >= rankOf(maxSeverity));
  if (bad.length === 0) return undefined;
  const shown = bad.slice(0, REFUSAL_FINDINGS).map((one) => `  ${describeFinding(one)}`);
  const hidden = bad.length - shown.length;
  if (hidden > 0) shown.push(`  ... and ${hidden} more: onejob image report`);
  const mendable = bad.filter(({ fixedVersion }) => fixedVersion !== null).length;
  const remedies = [
    mendable > 0 ? `${mendable} are fixed in Debian: onejob image build --force` : '',
    mendable < bad.length ? `${bad.length - mendable} are not fixed in Debian yet` : '',
  ].filter((one) => one !== '');
  return [
    `${what}: it has ${bad.length} known weaknesses of severity ${maxSeverity} or above.`,
    ...shown,
    `${remedies.join('; ')}.`,
    overrule,
  ].join('\n');
}

const describeFinding = (one: Finding): string =>
  `${one.severity} ${one.id} ${one.source} ${one.installedVersion}` +
  (one.fixedVersion === null ? ', no fix' : `, fixed in ${one.fixedVersion}`);
