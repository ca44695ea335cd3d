/**
 * How a part of an action begins and ends: what it throws fails the step, with the sentence in the log
 * and as an annotation; what its clients still hold open (idle connections, timers of retries) does not
 * keep the step waiting.
 */
import { setFailed } from '@actions/core';

export const messageOf = (error: unknown): string =>
  error instanceof Error ? error.message : String(error);

/** @param act its exit code is `process.exitCode` once it is done */
export async function runAction(act: () => Promise<void>): Promise<void> {
  // Of the packages that the clients are made of: nobody who reads the log can do anything about it.
  process.noDeprecation = true;
  try {
    await act();
  } catch (error) {
    setFailed(messageOf(error));
  }
  // oxlint-disable-next-line unicorn/no-process-exit -- this is the process's entry point
  process.exit();
}
