/** `onejob list`, `logs` and `cancel`: what the platform of a data directory knows. */
import { RUNS_PER_PAGE, type Job, type LogRow, type Run } from '@onejob/protocol';
import type { ApiClient } from '../api-client.ts';
import { terminalStyle } from '../config/environment.ts';
import type { Platform } from '../embedded/platform.ts';
import { CliError } from '../errors.ts';
import { EXIT, type ExitCode } from '../exit-codes.ts';
import { groupWait, isLogNoise, jobStatus, logLine } from '../show/run-view.ts';
import { mark, painter, safeText, type Paint } from '../show/style.ts';
import { table } from '../show/table.ts';
import { duration } from '../show/time.ts';
import { fit } from '../show/width.ts';
import { findRun, withPlatform } from './find-run.ts';
import { platformGone } from './follow-runs.ts';

/** False: nobody reads any more. */
function print(text: string): boolean {
  const { stdout } = process;
  if (!stdout.writable) return false;
  stdout.write(`${text}\n`);
  return true;
}

export async function list(
  flags: { limit: string; json: boolean },
  dataDirectory: string | undefined,
): Promise<ExitCode> {
  const limit = Number(flags.limit);
  if (!Number.isInteger(limit) || limit < 1 || limit > RUNS_PER_PAGE) {
    throw new CliError(
      'usage',
      `--limit ${flags.limit}: a whole number from 1 to ${RUNS_PER_PAGE}.`,
    );
  }
  const find = async (api: ApiClient): Promise<Run[]> => await api.runs(limit);
  return await withPlatform(dataDirectory, find, (runs) => {
    if (flags.json) print(JSON.stringify(runs));
    else if (runs.length === 0) print('No runs yet. Start one in a checkout with: onejob run');
    else print(runTable(runs));
    return EXIT.success;
  });
}

/** Of a run's name in the table: titles of commits are this long at most, where they are good. */
const NAME_CELLS = 50;

function runTable(runs: readonly Run[]): string {
  const paint = painter(terminalStyle(process.stdout).color);
  const header = [
    'run',
    'workflow',
    'event',
    'conclusion',
    'jobs',
    'took',
    'when (UTC)',
    'attempt',
    'name',
    '',
  ];
  const rows = runs.map((run) => [
    `${run.repository}#${run.number}`,
    safeText(run.workflowName, false),
    safeText(run.event, false),
    run.conclusion ?? run.state,
    countJobs(paint, run.jobs),
    run.finishedAtMs === null ? '' : duration(run.finishedAtMs - run.startedAtMs),
    new Date(run.createdAtMs).toISOString().slice(0, 16).replace('T', ' '),
    run.attempt === 1 ? '' : String(run.attempt),
    fit(safeText(run.name, false), NAME_CELLS),
    waitOf(run),
  ]);
  return table([header.map((cell) => paint('dim', cell)), ...rows]);
}

/** For which concurrency group a run, or a job of it, waits. */
function waitOf({ jobs }: Run): string {
  const job = jobs.find(({ waitsFor }) => waitsFor !== null);
  if (job === undefined || job.waitsFor === null) return '';
  const isAll = jobs.every(({ waitsFor }) => waitsFor !== null);
  return safeText(`${isAll ? '' : `${job.name} `}waits ${groupWait(job.waitsFor)}`, false);
}

/** `✓3 ✗1`: how many jobs ended in each way. */
function countJobs(paint: Paint, jobs: readonly Job[]): string {
  const counts = new Map<string, number>();
  for (const job of jobs) {
    const sign = mark(paint, job.state, job.conclusion);
    counts.set(sign, (counts.get(sign) ?? 0) + 1);
  }
  return [...counts].map(([sign, count]) => `${sign}${count}`).join(' ');
}

export type LogFlags = { json: boolean; why: boolean; follow: boolean; attempt?: string };

export async function logs(
  runName: string,
  jobName: string | undefined,
  flags: LogFlags,
  dataDirectory: string | undefined,
): Promise<ExitCode> {
  const attempt = attemptOf(flags);
  const find = async (api: ApiClient): Promise<Run> => await findAttempt(api, runName, attempt);
  return await withPlatform(dataDirectory, find, async (run, platform) => {
    const { api } = platform;
    const jobs = findJobs(run, jobName);
    const rows = new LogPrinter(jobs, flags.json);
    if (flags.why) for (const job of jobs) await printTransitions(api, job);
    else if (flags.follow && run.state !== 'finished') await followLog(platform, run, rows);
    else for (const job of jobs) await printLog(api, job, rows);
    return EXIT.success;
  });
}

function attemptOf({ attempt, follow }: LogFlags): number | undefined {
  if (attempt === undefined) return undefined;
  if (follow) {
    throw new CliError('usage', '--follow is for the attempt that goes on; leave out --attempt.');
  }
  const number = Number(attempt);
  if (Number.isInteger(number) && number >= 1 && number < 10_000) return number;
  throw new CliError('usage', `--attempt ${attempt}: a whole number from 1.`);
}

async function findAttempt(api: ApiClient, runName: string, attempt?: number): Promise<Run> {
  const run = await findRun(api, runName);
  if (attempt === undefined || attempt === run.attempt) return run;
  if (attempt < run.attempt) return await api.attempt(run.id, attempt);
  const has = run.attempt === 1 ? 'one attempt' : `${run.attempt} attempts`;
  throw new CliError('not_found', `Run ${run.number} has ${has} only.`);
}

/** By key (every leg), name or id; all where no name is given. */
function findJobs(run: Run, name: string | undefined): Job[] {
  const jobs = run.jobs.filter(
    (job) => name === undefined || job.name === name || job.key === name || job.id === name,
  );
  if (jobs.length > 0 || name === undefined) return jobs;
  const names = run.jobs.map((job) => job.name).join(', ');
  throw new CliError('not_found', `Run ${run.number} has no job "${name}". It has: ${names}`);
}

/** Rows of logs on standard output: text, with the job's name where there are several, or JSON. */
class LogPrinter {
  readonly #names: ReadonlyMap<string, string>;
  readonly #json: boolean;
  readonly #color = terminalStyle(process.stdout).color;

  constructor(jobs: readonly Job[], json: boolean) {
    this.#names = new Map(jobs.map((job) => [job.id, job.name]));
    this.#json = json;
  }

  /** False: nobody reads any more. */
  print(jobId: string, rows: readonly LogRow[]): boolean {
    const name = this.#names.get(jobId);
    if (name === undefined) return true;
    const prefix = this.#names.size > 1 ? `[${safeText(name, false)}] ` : '';
    return rows.every((row) => {
      if (this.#json) return print(JSON.stringify({ job: name, ...row }));
      return isLogNoise(row) || print(`${prefix}${safeText(logLine(row), this.#color)}`);
    });
  }
}

async function printLog(api: ApiClient, job: Job, printer: LogPrinter): Promise<void> {
  for (let offset = 0; ;) {
    const page = await api.log(job.id, offset);
    offset += page.rows.length;
    if (page.rows.length === 0 || !printer.print(job.id, page.rows)) break;
  }
  if (job.log.missingRows !== null && job.log.missingRows > 0) {
    process.stderr.write(`${job.name}: ${job.log.missingRows} rows of this log never arrived.\n`);
  }
}

/** To the end of the run; throws where that does not come, because nothing runs there any more. */
async function followLog(platform: Platform, run: Run, printer: LogPrinter): Promise<void> {
  const { api, fleet } = platform;
  if (fleet === 'none') {
    for (const job of run.jobs) await printLog(api, job, printer);
    if (run.state !== 'finished') throw nothingRuns(run);
    return;
  }
  const stop = new AbortController();
  for await (const event of api.events(run.id, stop.signal)) {
    // An owner that ran it may be gone the next moment.
    if (event.type === 'run' && event.run.state === 'finished') return;
    if (event.type !== 'log' || printer.print(event.jobId, event.rows)) continue;
    stop.abort();
    return;
  }
  throw platformGone(run);
}

const nothingRuns = (run: Run): CliError =>
  new CliError(
    'platform_unreachable',
    `Run ${run.number} has not ended, and nothing more of it comes: no onejob runs on its data ` +
      'directory. It goes on with the next "onejob run" or "onejob up"; to end it: onejob cancel.',
  );

/** Why did this job wait, and where did it go? */
async function printTransitions(api: ApiClient, job: Job): Promise<void> {
  const transitions = await api.transitions(job.id);
  const [first] = transitions;
  print(safeText(`${job.name}: ${jobStatus(job)}`, false));
  const rows = transitions.map((one) => [
    `  +${duration(one.atMs - (first?.atMs ?? one.atMs))}`,
    one.from === null ? `created ${one.to}` : `${one.from} -> ${one.to}`,
    one.reason.replaceAll('_', ' '),
  ]);
  print(table(rows));
}

export async function cancel(
  runName: string,
  jobName: string | undefined,
  flags: { kill: boolean },
  dataDirectory: string | undefined,
): Promise<ExitCode> {
  const find = async (api: ApiClient): Promise<Run> => await findRun(api, runName);
  return await withPlatform(dataDirectory, find, async (run, { api }) => {
    const jobs = jobName === undefined ? [] : findJobs(run, jobName);
    if (run.state === 'finished') {
      print(`Run ${run.number} has ended already: ${run.conclusion}.`);
      return EXIT.success;
    }
    const requested = `cancellation requested${flags.kill ? ' (kill)' : ''}.`;
    if (jobName === undefined) {
      await api.cancelRun(run.id, flags.kill);
      print(`Run ${run.number}: ${requested}`);
    }
    for (const job of jobs) {
      const name = safeText(`Run ${run.number}, ${job.name}`, false);
      if (job.state === 'finished') {
        print(`${name}: has ended already: ${job.conclusion}.`);
        continue;
      }
      await api.cancelJob(job.id, flags.kill);
      print(`${name}: ${requested}`);
    }
    return EXIT.success;
  });
}
