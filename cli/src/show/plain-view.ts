/** Plain lines for pipes and files: every state change and every log row, with the job's name before it. */
import type { Job } from '@onejob/protocol';
import {
  isLogNoise,
  JobNames,
  jobStatus,
  logLine,
  runTitle,
  type RunView,
  warningLine,
} from './run-view.ts';
import { painter, safeText } from './style.ts';
import { summary } from './summary.ts';

export function plainView(write: (line: string) => void): RunView {
  const names = new JobNames();
  const named = new Map<string, string>();
  const said = new Map<string, string>();
  const line = (text: string): void => write(safeText(text, false));
  const show = (job: Job): void => {
    named.set(job.id, names.of(job));
    const status = job.state === 'running' ? 'running' : jobStatus(job);
    if (said.get(job.id) !== status) line(`[${names.of(job)}] ${status}`);
    said.set(job.id, status);
  };
  return {
    begin: (runs) => {
      names.begin(runs);
      for (const run of runs) line(runTitle(painter(false), run));
      for (const run of runs) for (const job of run.jobs) named.set(job.id, names.of(job));
    },
    event: (event) => {
      if (event.type === 'run') for (const job of event.run.jobs) show(job);
      if (event.type === 'job') show(event.job);
      if (event.type !== 'log') return;
      const name = named.get(event.jobId) ?? event.jobId;
      for (const row of event.rows) if (!isLogNoise(row)) line(`[${name}] | ${logLine(row)}`);
    },
    say: line,
    warn: (warning) => line(warningLine(warning)),
    close: () => {},
    finish: (runs) => write(`\n${summary(painter(false), runs)}`),
  };
}
