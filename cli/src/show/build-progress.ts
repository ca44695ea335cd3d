/**
 * An image being built: one line a step, and what it cost in the end. On a terminal the line of the
 * present step is redrawn; where others write, too, every line is written once.
 */
import type { ImageWatcher } from '../embedded/images.ts';
import { bytes, duration } from './time.ts';

/** A step is shown once it is clear that this is a build and not a look into the cache. */
const QUIET_MS = 300;

/** @param live a terminal that nobody else writes to meanwhile. @param say writes one line. */
export function buildProgress(
  live: NodeJS.WriteStream | undefined,
  say: (line: string) => void,
): ImageWatcher {
  let last = '';
  const lineOf = (elapsedMs: number, step: string, message: string): string =>
    `image  ${duration(elapsedMs).padStart(6)}  ${step.padEnd(8)} ${message}`;
  return {
    show: ({ step, message, elapsedMs, done, total }) => {
      if (elapsedMs < QUIET_MS && step !== 'base') return;
      const line = lineOf(elapsedMs, step, message);
      const count = done === undefined || total === undefined ? '' : ` ${bar(done / total)}`;
      if (live === undefined) {
        if (step !== last) say(line);
      } else {
        const start = last === '' ? '' : step === last ? '\r\x1b[2K' : '\n';
        live.write(`${start}${line}${count}`);
      }
      last = step;
    },
    end: (image) => {
      if (last === '') return;
      last = '';
      live?.write('\n');
      if (image === undefined) return;
      const what = `${image.name} ${image.digest.slice(0, 12)}, ${bytes(image.sizeBytes)}`;
      say(lineOf(image.buildTimeMs, 'ready', what));
    },
  };
}

const BAR_CELLS = 20;
function bar(part: number): string {
  const full = Math.round(Math.min(1, Math.max(0, part)) * BAR_CELLS);
  return `[${'#'.repeat(full)}${'.'.repeat(BAR_CELLS - full)}]`;
}
