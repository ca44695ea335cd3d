/**
 * The live tree on a terminal: one line a job with what it does now, under it the last lines of
 * its log while it runs. What has ended moves up and stays; only the living part is redrawn, and
 * it never fills more than the terminal has.
 */
import type { Job, Run, RunStreamEvent } from '@onejob/protocol';
import { createLogUpdate } from 'log-update';
import {
  isLogNoise,
  JobNames,
  jobStatus,
  logLine,
  runTitle,
  type RunView,
  warningLine,
} from './run-view.ts';
import { mark, painter, safeText, type Paint } from './style.ts';
import { summary } from './summary.ts';
import { duration } from './time.ts';
import { cells, fit } from './width.ts';

const REDRAW_MS = 100;
/** Log lines shown under each running job, where there is room. */
const TAIL_LINES = 4;
/** Of a failed job, so that the reason is on the screen. */
const FAILED_LINES = 25;
/** Narrower terminals show no clock. */
const CLOCK_COLUMNS = 30;
/** What a terminal that does not tell its size is taken for. */
const DEFAULT_COLUMNS = 80;
const DEFAULT_ROWS = 24;

type Tail = { job: Job; name: string; rows: string[] };
export type Screen = { columns: number; rows: number };

const screenOf = ({ columns, rows }: NodeJS.WriteStream): Screen => ({
  columns: columns || DEFAULT_COLUMNS,
  rows: rows || DEFAULT_ROWS,
});

export function treeView(stream: NodeJS.WriteStream, color: boolean): RunView {
  const paint = painter(color);
  const update = createLogUpdate(stream);
  const names = new JobNames();
  const living = new Map<string, Tail>();
  const ended = new Set<string>();
  const screen = (): Screen => screenOf(stream);
  let drawn: string[] = [];
  const draw = (): void => {
    drawn = drawLiving(paint, [...living.values()], screen(), Date.now());
    update(drawn.join('\n'));
  };
  /** A narrower terminal has broken the drawn lines into more rows than were written. */
  const redrawResized = (): void => {
    const { columns } = screen();
    const rows = drawn.reduce(
      (sum, line) => sum + Math.max(1, Math.ceil(cells(line) / columns)),
      0,
    );
    if (rows > 0) stream.write(`\r\x1b[${rows}A\x1b[J`);
    update.done();
    draw();
  };
  stream.on('resize', redrawResized);
  /** Writes for good, above the living part. */
  const settle = (text: string): void => {
    update.clear();
    drawn = [];
    stream.write(`${text}\n`);
    if (living.size > 0) draw();
  };
  const show = (job: Job): void => {
    if (ended.has(job.id)) return;
    const tail = living.get(job.id) ?? { job, name: '', rows: [] };
    living.set(job.id, Object.assign(tail, { job, name: safeText(names.of(job), false) }));
    if (job.state !== 'finished') return;
    living.delete(job.id);
    ended.add(job.id);
    settle(drawEnded(paint, color, tail));
  };
  const timer = setInterval(draw, REDRAW_MS).unref();
  const close = (): void => {
    clearInterval(timer);
    stream.off('resize', redrawResized);
    update.clear();
    update.done();
  };
  return {
    begin: (runs) => {
      names.begin(runs);
      for (const run of runs) settle(runTitle(paint, run));
    },
    event: (event: RunStreamEvent): void => {
      if (event.type === 'run') for (const job of keptOf(living, event.run)) show(job);
      if (event.type === 'job') show(event.job);
      if (event.type !== 'log') return;
      const tail = living.get(event.jobId);
      if (tail === undefined) return;
      const added = event.rows.slice(-FAILED_LINES).filter((row) => !isLogNoise(row));
      tail.rows = [...tail.rows, ...added.map(logLine)].slice(-FAILED_LINES);
    },
    say: (text) => settle(paint('dim', safeText(text, false))),
    warn: (warning) => settle(paint('yellow', safeText(warningLine(warning), false))),
    close,
    finish: (runs) => {
      close();
      stream.write(`\n${summary(paint, runs, screen().columns)}\n`);
    },
  };
}

/** The run's jobs. One that calls a workflow leaves the living when the jobs of that come. */
function keptOf(living: Map<string, Tail>, run: Run): readonly Job[] {
  const there = new Set(run.jobs.map((job) => job.id));
  for (const [id, { job }] of living) {
    if (job.runId === run.id && !there.has(id)) living.delete(id);
  }
  return run.jobs;
}

const isIdle = ({ job: { state } }: Tail): boolean =>
  state === 'waiting' || state === 'queued' || state === 'offered';

/** The living part: working jobs first, each with as many log lines as fit; then who waits. */
export function drawLiving(
  paint: Paint,
  living: readonly Tail[],
  screen: Screen,
  nowMs: number,
): string[] {
  const columns = Math.max(10, screen.columns - 1);
  // The line the cursor is on is the terminal's last.
  const rows = Math.max(1, screen.rows - 1);
  const idle = living.filter(isIdle);
  const working = living.filter((tail) => !isIdle(tail));
  const forIdle = Math.min(idle.length, Math.max(1, Math.floor(rows / 3)));
  const forWorking = rows - forIdle;
  const shownWorking = working.slice(0, Math.max(1, forWorking));
  const room = Math.floor((forWorking - shownWorking.length) / Math.max(1, shownWorking.length));
  const tailLines = Math.max(0, Math.min(TAIL_LINES, room));
  const lines = [
    ...shownWorking.flatMap((tail) => drawWorking(paint, tail, { columns, tailLines, nowMs })),
    ...drawIdle(paint, idle, columns, forIdle),
  ];
  return lines.slice(0, rows);
}

function drawWorking(
  paint: Paint,
  { job, name, rows }: Tail,
  { columns, tailLines, nowMs }: { columns: number; tailLines: number; nowMs: number },
): string[] {
  const since = job.adoptedAtMs ?? job.leasedAtMs;
  const clock = since === null ? '' : `  ${duration(Math.max(0, nowMs - since))}`;
  const shown = job.state === 'running' && tailLines > 0 ? rows.slice(-tailLines) : [];
  return [
    headLine(paint, job, name, columns, clock),
    ...shown.map((text) => paint('dim', `    ${fit(flat(text), columns - 4)}`)),
  ];
}

/** Mark, name, status and clock on one line; the status gives way first, then the name. */
function headLine(paint: Paint, job: Job, name: string, columns: number, time: string): string {
  const clock = columns < CLOCK_COLUMNS ? '' : time;
  const status = safeText(jobStatus(job), false);
  const free = columns - 2 - cells(clock);
  const shownName = fit(name, Math.max(4, free - Math.min(cells(status) + 2, 24)));
  const shownStatus = fit(status, Math.max(1, free - cells(shownName) - 2));
  return `${mark(paint, job.state, job.conclusion)} ${paint('bold', shownName)}  ${shownStatus}${paint('dim', clock)}`;
}

function drawIdle(paint: Paint, idle: readonly Tail[], columns: number, rows: number): string[] {
  const shown = idle.length > rows ? idle.slice(0, rows - 1) : idle;
  const lines = shown.map(({ job, name }) => headLine(paint, job, name, columns, ''));
  const hidden = idle.length - shown.length;
  if (hidden > 0) lines.push(paint('dim', fit(`· and ${hidden} more jobs that wait`, columns)));
  return lines;
}

/** One line, no colours: what is cut must not cut a sequence in two. */
const flat = (text: string): string => safeText(text, false).replaceAll(/[\t\n]/g, ' ');

function drawEnded(paint: Paint, color: boolean, { job, name, rows }: Tail): string {
  const ran =
    job.adoptedAtMs === null || job.finishedAtMs === null
      ? ''
      : paint('dim', `  ${duration(job.finishedAtMs - job.adoptedAtMs)}`);
  const status = safeText(jobStatus(job), false);
  const head = `${mark(paint, job.state, job.conclusion)} ${paint('bold', name)}  ${status}${ran}`;
  const isGood = job.conclusion === 'success' || job.conclusion === 'skipped';
  const last = isGood ? [] : rows.map((text) => `    ${safeText(text, color)}`);
  return [head, ...last].join('\n');
}
