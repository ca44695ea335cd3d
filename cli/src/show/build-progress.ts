/** An image being built, on standard error: one line a step, and what it cost in the end. */
import type { ImageProgress } from '../embedded/images.ts';
import { duration } from './time.ts';

/** A step is shown once it is clear that this is a build and not a look into the cache. */
const QUIET_MS = 300;

export function buildProgress(stream: NodeJS.WriteStream): {
  show: (progress: ImageProgress) => void;
  end: () => void;
} {
  let last = '';
  let shown = false;
  return {
    show: ({ step, message, elapsedMs, done, total }) => {
      if (elapsedMs < QUIET_MS && step !== 'base') return;
      const count = done === undefined || total === undefined ? '' : ` ${bar(done / total)}`;
      const line = `image  ${duration(elapsedMs).padStart(6)}  ${step.padEnd(8)} ${message}`;
      if (stream.isTTY) stream.write(`\r\x1b[2K${line}${count}`);
      else if (line !== last && step !== last) stream.write(`${line}\n`);
      last = step;
      shown = true;
    },
    end: () => {
      if (shown && stream.isTTY) stream.write('\r\x1b[2K');
    },
  };
}

const BAR_CELLS = 20;
function bar(part: number): string {
  const full = Math.round(Math.min(1, Math.max(0, part)) * BAR_CELLS);
  return `[${'#'.repeat(full)}${'.'.repeat(BAR_CELLS - full)}]`;
}
