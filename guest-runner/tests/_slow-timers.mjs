/** Loaded into a runner before anything else: it loses the processor for a moment behind each timer of seconds. */
const LONG_MS = 1_000;
const LOST_MS = 400;
const original = globalThis.setTimeout;

globalThis.setTimeout = (callback, ms, ...rest) => {
  const timer = original(callback, ms, ...rest);
  if (ms >= LONG_MS) Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, LOST_MS);
  return timer;
};
