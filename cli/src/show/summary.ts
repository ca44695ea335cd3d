/** The end of a run: why jobs failed, annotations, the table, and the exit code. */
import type { Conclusion, Job, Run } from '@onejob/protocol';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { runTitle } from './run-view.ts';
import { mark, safeText, type Paint } from './style.ts';
import { table } from './table.ts';
import { duration } from './time.ts';
import { fit } from './width.ts';

const between = (from: number | null, to: number | null): string =>
  from === null || to === null ? '' : duration(to - from);

function row(paint: Paint, run: Run, job: Job, nameCells: number): string[] {
  const conclusion = job.conclusion ?? job.state;
  const reason = job.endReason === 'steps_completed' ? '' : (job.endReason ?? '');
  const kept = job.attempt < run.attempt ? `in attempt ${job.attempt}` : '';
  return [
    `${mark(paint, job.state, job.conclusion)} ${fit(safeText(job.name, false), nameCells)}`,
    conclusion,
    between(job.queuedAtMs, job.leasedAtMs),
    between(job.leasedAtMs, job.adoptedAtMs),
    between(job.adoptedAtMs, job.finishedAtMs),
    [reason === conclusion ? '' : reason.replaceAll('_', ' '), kept]
      .filter((text) => text !== '')
      .join(', '),
  ];
}

/** What the other columns of the table may need. */
const OTHER_CELLS = 60;
const NAME_CELLS_LEAST = 16;

/** @param columns cells of the terminal; Infinity where there is none. */
export function summary(paint: Paint, runs: readonly Run[], columns = Infinity): string {
  const parts: string[] = [];
  const nameCells = Math.max(NAME_CELLS_LEAST, columns - OTHER_CELLS);
  for (const run of runs) {
    const header = ['job', 'conclusion', 'queue', 'boot', 'run', ''];
    const rows = run.jobs.map((job) => row(paint, run, job, nameCells));
    parts.push(
      runTitle(paint, run, run.conclusion ?? run.state),
      table([header.map((cell) => paint('dim', cell)), ...rows]),
      ...displacements(run.jobs),
      ...run.jobs.flatMap((job) => remarks(paint, job)),
      '',
    );
  }
  return parts.join('\n');
}

/** Why a concurrency group ended jobs, each sentence once: it may be that of a whole run. */
function displacements(jobs: readonly Job[]): string[] {
  const ended = jobs.filter(
    ({ endReason }) => endReason === 'superseded' || endReason === 'concurrency_deadlock',
  );
  return [...new Set(ended.map((job) => safeText(job.endMessage, false)))];
}

/** What the runner says of the step that a cancellation met. */
const CANCELLED_STEP = 'The operation was canceled.';

function remarks(paint: Paint, job: Job): string[] {
  const lines: string[] = [];
  // Whoever cancelled knows why; skipped and succeeded jobs have nothing to explain.
  const isBad = !['success', 'skipped', 'cancelled'].includes(job.conclusion ?? '');
  if (isBad) lines.push(...job.endMessage.split('\n').filter((line) => line !== ''));
  for (const { annotation } of job.annotations) {
    const { level, message, file, line, title } = annotation;
    // The runner annotates a failed step with the words that end the job, too.
    if (level === 'debug' || lines.some((said) => said.endsWith(message))) continue;
    if (job.conclusion === 'cancelled' && message === CANCELLED_STEP) continue;
    const place = file === undefined ? '' : ` ${file}${line === undefined ? '' : `:${line}`}`;
    lines.push(`${level}${place}:${title === undefined ? '' : ` ${title}:`} ${message}`);
  }
  const more = job.annotationCount - job.annotations.length;
  if (more > 0) lines.push(`${more} more annotations; what they say is in the log`);
  if (job.log.missingRows !== null && job.log.missingRows > 0) {
    lines.push(`${job.log.missingRows} rows of its log never arrived.`);
  }
  if (job.environment !== null && job.adoptedAtMs !== null) {
    const { name, url } = job.environment;
    lines.push(`environment ${name}${url === null ? '' : `: ${url}`}`);
  }
  lines.push(...job.notes);
  if (lines.length === 0) return [];
  const indented = lines.map((text) => `  ${safeText(text, false).replaceAll('\n', '\n  ')}`);
  return [paint('bold', `${safeText(job.name, false)}:`), ...indented];
}

const CODES: Record<Conclusion, ExitCode> = {
  success: EXIT.success,
  skipped: EXIT.success,
  failure: EXIT.jobFailed,
  timed_out: EXIT.jobFailed,
  refused: EXIT.jobFailed,
  cancelled: EXIT.cancelled,
  lost: EXIT.platform,
};

/** The worst of all runs; a platform's failure before a job's, for it may hide one. */
export function exitCodeOf(runs: readonly Run[]): ExitCode {
  const codes = runs.map((run) => CODES[run.conclusion ?? 'lost']);
  const order = [EXIT.platform, EXIT.cancelled, EXIT.jobFailed];
  return order.find((code) => codes.includes(code)) ?? EXIT.success;
}
