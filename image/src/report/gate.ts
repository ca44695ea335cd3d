/**
 * The gate before new jobs: an image with known weaknesses of a severity or worse is refused, and so is
 * one that cannot be judged, because nothing is known of it or the security data is too old. A refusal
 * names all that it found and what to do; it can be overruled with a reason, which the history keeps.
 */
import { ImageError } from '../errors.ts';
import {
  DAY_MS,
  REASON_CHARACTERS,
  REFUSAL_FINDINGS,
  SECURITY_DATA_MAX_AGE_MS,
} from '../limits.ts';
import type { Promotion } from '../promotion/promotions-file.ts';
import type { ImageReport } from './report.ts';
import {
  daysTooOld,
  rankOf,
  SECURITY_DATA_URL,
  type Finding,
  type Severity,
} from './security-data.ts';

/** From this severity on findings refuse an image; `none`: no gate. */
export type Gate = Severity | 'none';

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

/** A head for each thing that is wrong, its details below, and last what overrules them. */
function refusalOf(report: ImageReport, maxSeverity: Gate): string | undefined {
  if (maxSeverity === 'none') return undefined;
  const gaps = [unknownOf(report), ageOf(report)].filter((one) => one !== undefined);
  const bad = badOf(report, maxSeverity);
  const wrong = bad === undefined ? gaps : [bad, ...gaps];
  if (wrong.length === 0) return undefined;
  const name = `${report.name} ${report.digest.slice(0, 12)}`;
  const overrule = 'To promote it all the same: --force "<reason>", which the history keeps.';
  return [
    `${name} is not promoted: ${wrong.map(({ head }) => head).join('; ')}.`,
    ...wrong.flatMap(({ details }) => details),
    gaps.length === 0 ? overrule : `${overrule} Without any gate: --max-severity none.`,
  ].join('\n');
}

interface Wrong {
  head: string;
  details: readonly string[];
}

function unknownOf({ findings, notKnown }: ImageReport): Wrong | undefined {
  if (findings !== null) return undefined;
  return { head: 'its weaknesses are not known', details: notKnown.slice(0, 1) };
}

function ageOf({ data, madeAt }: ImageReport): Wrong | undefined {
  if (data === null || daysTooOld(data, madeAt) === undefined) return undefined;
  const limit = SECURITY_DATA_MAX_AGE_MS / DAY_MS;
  const what = `${data.path} is of ${data.changedAt.slice(0, 10)}, more than ${limit} days ago`;
  return {
    head: 'the security data is too old to judge it by',
    details: [`${what}: fetch ${SECURITY_DATA_URL} again.`],
  };
}

function badOf({ findings }: ImageReport, maxSeverity: Severity): Wrong | undefined {
  const bad = (findings ?? []).filter(({ severity }) => rankOf(severity) >= rankOf(maxSeverity));
  if (bad.length === 0) return undefined;
  const shown = bad.slice(0, REFUSAL_FINDINGS).map((one) => `  ${describeFinding(one)}`);
  const hidden = bad.length - shown.length;
  if (hidden > 0) shown.push(`  ... and ${hidden} more: onejob image report`);
  const mendable = bad.filter(({ fixedVersion }) => fixedVersion !== null).length;
  const remedies = [
    mendable > 0 ? `${mendable} are fixed in Debian: onejob image build --force` : '',
    mendable < bad.length ? `${bad.length - mendable} are not fixed in Debian yet` : '',
  ].filter((one) => one !== '');
  return {
    head: `it has ${bad.length} known weaknesses of severity ${maxSeverity} or above`,
    details: [...shown, `${remedies.join('; ')}.`],
  };
}

const describeFinding = (one: Finding): string =>
  `${one.severity} ${one.id} ${one.source} ${one.installedVersion}` +
  (one.fixedVersion === null ? ', no fix' : `, fixed in ${one.fixedVersion}`);
