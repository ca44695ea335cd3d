/**
 * Loaded into a runner before anything else: while it waits for what a step's descendants still write, it
 * gets no processor until they have, and longer than it would have waited.
 *
 * The descendants wait for the file `stalled` in HOME and make `written` there.
 */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OUTPUT_IDLE_MS } from '../src/limits.ts';

const home = process.env.HOME ?? '';
const original = globalThis.setTimeout;
const pause = (ms) => Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms);

globalThis.setTimeout = (callback, ms, ...rest) => {
  const timer = original(callback, ms, ...rest);
  if (ms === OUTPUT_IDLE_MS && !existsSync(join(home, 'stalled'))) {
    writeFileSync(join(home, 'stalled'), '');
    while (!existsSync(join(home, 'written'))) pause(5);
    pause(2 * OUTPUT_IDLE_MS);
  }
  return timer;
};
