/**
 * What the guest's init says on its port: JSON lines, guest to host only. The job is root in its
 * machine and may write there too, so nothing here is believed about anything but the job's own
 * machine: lines are bounded, what does not fit is skipped, and the text is for people only.
 *
 *     kernel -> mounted -> runner_started -> oom_kill* -> runner_exited      or `failed`, any time
 */
import { INIT_LINE_BYTES, SHOWN_OUTPUT_CHARACTERS } from './config.ts';

export type InitEvent =
  | { event: 'kernel' | 'mounted' | 'runner_started'; uptimeMs: number }
  | { event: 'oom_kill'; count: number }
  | {
      event: 'runner_exited';
      status: number | null;
      signal: number | null;
      oomKills: number;
      output: string;
    }
  | { event: 'failed'; message: string };

/** The end of a text from the guest or QEMU, safe to print: no terminal control but line feeds. */
export function shownOutput(text: string): string {
  // oxlint-disable-next-line no-control-regex -- control characters are what it is about
  const control = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f]/g;
  return text.slice(-SHOWN_OUTPUT_CHARACTERS).replace(control, '?').trim();
}

/** Cuts the port's bytes into events. */
export class InitEventReader {
  #line: Buffer[] = [];
  #lineBytes = 0;

  push(chunk: Buffer): InitEvent[] {
    const events: InitEvent[] = [];
    let start = 0;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, start)) {
      this.#keep(chunk.subarray(start, at));
      start = at + 1;
      const event = this.#lineBytes <= INIT_LINE_BYTES ? parse(Buffer.concat(this.#line)) : null;
      if (event !== null) events.push(event);
      this.#line = [];
      this.#lineBytes = 0;
    }
    this.#keep(chunk.subarray(start));
    return events;
  }

  #keep(part: Buffer): void {
    this.#lineBytes += part.length;
    if (this.#lineBytes <= INIT_LINE_BYTES) this.#line.push(Buffer.from(part));
    else this.#line = [];
  }
}

function parse(line: Buffer): InitEvent | null {
  let value: unknown;
  try {
    value = JSON.parse(line.toString('utf8'));
  } catch {
    return null;
  }
  if (typeof value !== 'object' || value === null) return null;
  const said = value as Record<string, unknown>;
  switch (said['event']) {
    case 'kernel':
    case 'mounted':
    case 'runner_started':
      return { event: said['event'], uptimeMs: count(said['uptimeMs']) ?? 0 };
    case 'oom_kill':
      return { event: 'oom_kill', count: count(said['count']) ?? 0 };
    case 'runner_exited':
      return {
        event: 'runner_exited',
        status: count(said['status']),
        signal: count(said['signal']),
        oomKills: count(said['oomKills']) ?? 0,
        output: shownOutput(text(said['output'])),
      };
    case 'failed':
      return { event: 'failed', message: shownOutput(text(said['message'])) };
    default:
      return null;
  }
}

const count = (value: unknown): number | null =>
  typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : null;
const text = (value: unknown): string => (typeof value === 'string' ? value : '');
