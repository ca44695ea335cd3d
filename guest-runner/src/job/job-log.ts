/**
 * What the runner does for the job as a whole ("Set up job", "Complete job"): its rows and its
 * annotations, which have no step.
 */
import type { Trace } from '@onejob/workflow/evaluate';
import type { SecretMasker } from '@onejob/masking';
import type { HostControl } from '../link/host.ts';
import { debugLines } from '../logs/debug-lines.ts';
import type { LogSender } from '../logs/log-sender.ts';
import { StepLog } from '../logs/step-log.ts';
import { Annotations } from '../steps/annotations.ts';

/** In place of a step's. */
export const JOB_INDEX = -1;

type JobLogParts = { host: HostControl; log: LogSender; masker: SecretMasker; isDebug: boolean };

export class JobLog {
  private readonly parts: JobLogParts;
  private readonly log: StepLog;
  private readonly annotations: Annotations;

  constructor(parts: JobLogParts) {
    this.parts = parts;
    this.log = new StepLog(JOB_INDEX, parts.log, parts.masker);
    this.annotations = new Annotations({ ...parts, index: JOB_INDEX });
  }

  line(text: string): void {
    this.log.line(text);
  }

  error(message: string): void {
    this.log.line(`##[error]${message}`);
    this.annotations.add({ level: 'error', message });
  }

  warning(message: string): void {
    this.log.line(`##[warning]${message}`);
    this.annotations.add({ level: 'warning', message });
  }

  debug(message: string): void {
    if (!this.parts.isDebug) return;
    for (const line of debugLines(message)) this.log.line(line);
  }

  /** For the scope of an evaluation. */
  get trace(): { trace?: Trace } {
    if (!this.parts.isDebug) return {};
    const { masker } = this.parts;
    return { trace: { tell: (line) => this.debug(line), mask: (text) => masker.maskText(text) } };
  }

  flush(): void {
    this.log.flush();
  }
}
