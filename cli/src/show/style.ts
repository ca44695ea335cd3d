/** Marks and colours of the terminal; plain text where there is no colour. */
import { styleText } from 'node:util';
import type { Conclusion, JobState } from '@onejob/protocol';

type Format = Parameters<typeof styleText>[0];
export type Paint = (format: Format, text: string) => string;

export const painter =
  (color: boolean): Paint =>
  (format, text) =>
    color ? styleText(format, text, { validateStream: false }) : text;

const CONCLUSION_MARKS: Record<Conclusion, { mark: string; format: Format }> = {
  success: { mark: '✓', format: 'green' },
  failure: { mark: '✗', format: 'red' },
  cancelled: { mark: '⊘', format: 'yellow' },
  skipped: { mark: '-', format: 'gray' },
  timed_out: { mark: '⧖', format: 'red' },
  refused: { mark: '⊘', format: 'red' },
  lost: { mark: '?', format: 'magenta' },
};

const STATE_MARKS: Record<JobState, string> = {
  waiting: '·',
  queued: '·',
  offered: '·',
  leased: '◌',
  starting: '◌',
  running: '●',
  finished: ' ',
};

export function mark(paint: Paint, state: JobState, conclusion: Conclusion | null): string {
  if (conclusion === null) return paint(state === 'running' ? 'cyan' : 'gray', STATE_MARKS[state]);
  const { mark: sign, format } = CONCLUSION_MARKS[conclusion];
  return paint(format, sign);
}

/** Titles, links and other strings for the terminal itself, with what they say (ECMA-48, 5.6). */
const TERMINAL_STRING = /\x1b[\]PX^_][^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)/.source;
const COLOR = /\x1b\[[0-9;:]*m/.source;
const SEQUENCE = /\x1b\[[0-?]*[ -/]*[@-~]/.source;
/** Other control characters, and those that turn the order of what is read (CVE-2021-42574). */
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]/.source;
const UNSAFE = new RegExp([COLOR, TERMINAL_STRING, SEQUENCE, CONTROL].join('|'), 'g');
const isColor = new RegExp(`^${COLOR}$`);

/**
 * Text of a job must not steer the user's terminal. Line breaks and tabs stay; colours stay where
 * `color` is true, and end with the text.
 */
export function safeText(text: string, color: boolean): string {
  let colored = false;
  const safe = text.replaceAll(UNSAFE, (found) => {
    if (!color || !isColor.test(found)) return '';
    colored = true;
    return found;
  });
  return colored ? `${safe}\x1b[0m` : safe;
}
