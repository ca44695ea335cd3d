/** Waiting for what other processes do: asked again and again, with a limit only a hang meets. */
import { setTimeout as sleep } from 'node:timers/promises';

/** Far above what anything takes on a loaded machine under emulation. */
const PATIENCE_MS = 120_000;
const POLL_MS = 20;

/** The first answer that is not undefined. Throws with `what` (a clause: "the job ran"). */
export async function eventually<T>(
  what: string,
  ask: () => T | undefined | Promise<T | undefined>,
): Promise<T> {
  const deadline = performance.now() + PATIENCE_MS;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined) return answer;
    if (performance.now() > deadline) {
      throw new Error(`Waited ${PATIENCE_MS / 1000} s, but it was not seen that ${what}.`);
    }
    await sleep(POLL_MS);
  }
}
