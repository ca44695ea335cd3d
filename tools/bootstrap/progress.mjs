/**
 * How the bootstrap shows its work: one line a step, with its time. On a terminal a running step has
 * a spinner and, where its progress is known, a bar; in a pipe it is a line at the start, one every
 * half minute, and one at the end. Everything goes to standard error, so that the output of the
 * command itself (`onejob list --json`) stays clean. Runs on Node 20 without any package.
 */

const SPINNER = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const FRAME_MS = 100;
/** A pipe hears of a long step this often: enough to see that it lives, little enough to read. */
const PLAIN_REMINDER_MS = 30_000;
const BAR_WIDTH = 24;
/** What of a failed program's output is printed. */
const LAST_LINES = 25;

/** A step that could not be done: what happened, the last lines of the program, and the remedy. */
export class SetupError extends Error {
  /**
   * @param {string} message one sentence: what happened
   * @param {{ output?: string, remedy: string, cause?: unknown }} details
   */
  constructor(message, details) {
    super(message, { cause: details.cause });
    this.name = 'SetupError';
    this.output = details.output ?? '';
    this.remedy = details.remedy;
  }
}

const shownErrors = new WeakSet();

/** Whether runStep has printed this error already. @param {unknown} error */
export function wasShown(error) {
  return error instanceof Error && shownErrors.has(error);
}

/** @param {number} ms */
function formatDuration(ms) {
  const seconds = ms / 1000;
  if (seconds < 100) return `${seconds.toFixed(1)} s`;
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`;
}

/** @param {number} fraction 0 to 1 */
function drawBar(fraction) {
  const full = Math.round(Math.min(1, Math.max(0, fraction)) * BAR_WIDTH);
  return `[${'='.repeat(full)}${' '.repeat(BAR_WIDTH - full)}]`;
}

/**
 * The text of a failed step, for people.
 * @param {string} title
 * @param {unknown} error
 */
export function describeFailure(title, error) {
  const message = error instanceof Error ? error.message : String(error);
  const lines = [`  Step "${title}" failed: ${message}`];
  if (error instanceof SetupError) {
    const output = error.output.trimEnd().split('\n').slice(-LAST_LINES);
    if (output.some((line) => line.trim() !== '')) {
      lines.push('  Its last lines:', ...output.map((line) => `    ${line}`));
    }
    lines.push(`  What to do: ${error.remedy}`);
  } else if (error instanceof Error && error.stack !== undefined) {
    lines.push(error.stack);
  }
  return lines.join('\n');
}

/**
 * Runs one step under a line of its own. `report(fraction, text)` moves the bar; `fraction` may be
 * undefined while the length is unknown. The error of `work` is printed and thrown on.
 * @template T
 * @param {string} title
 * @param {(report: (fraction: number | undefined, text?: string) => void) => Promise<T>} work
 * @param {NodeJS.WriteStream} [out]
 * @returns {Promise<T>}
 */
export async function runStep(title, work, out = process.stderr) {
  const startedAtMs = performance.now();
  const elapsed = () => formatDuration(performance.now() - startedAtMs);
  const live = out.isTTY === true;
  let fraction;
  let text = '';
  let frame = 0;

  const drawLive = () => {
    const parts = [SPINNER[frame++ % SPINNER.length], title];
    if (fraction !== undefined) {
      parts.push(drawBar(fraction), `${String(Math.floor(fraction * 100)).padStart(3)} %`);
    }
    parts.push(elapsed(), text);
    out.write(`\r\x1b[K${parts.join('  ').slice(0, Math.max(20, (out.columns || 80) - 1))}`);
  };
  const remind = () => out.write(`  ${title}: ${elapsed()} ... ${text}\n`);

  if (live) drawLive();
  else out.write(`- ${title}\n`);
  const timer = setInterval(live ? drawLive : remind, live ? FRAME_MS : PLAIN_REMINDER_MS);
  const finish = (mark, rest) => {
    clearInterval(timer);
    out.write(`${live ? '\r\x1b[K' : ''}${mark} ${title}  ${rest}\n`);
  };

  try {
    const result = await work((newFraction, newText = '') => {
      fraction = newFraction;
      text = newText;
    });
    finish(live ? '\x1b[32m✓\x1b[0m' : 'ok', elapsed());
    return result;
  } catch (error) {
    finish(live ? '\x1b[31m✗\x1b[0m' : 'FAILED', `after ${elapsed()}`);
    out.write(`${describeFailure(title, error)}\n`);
    if (error instanceof Error) shownErrors.add(error);
    throw error;
  }
}
