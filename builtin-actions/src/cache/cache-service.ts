/** Whether there is a service of caches for this job; and how what it does not do is told. */
import { isFeatureAvailable } from '@actions/cache';
import { readGitHub } from '../config/environment.ts';
import { say } from '../toolkit/inputs.ts';

/** As the action warns: a line of the log, no annotation. */
export function warnInLog(message: string): void {
  say(`[warning]${message}`);
}

/** Says why not. */
export function canCache(): boolean {
  if (!isFeatureAvailable()) {
    warnInLog('This job was given no cache service; nothing is restored or saved.');
    return false;
  }
  const { eventName, ref } = readGitHub();
  if (ref !== '') return true;
  warnInLog(
    `Event Validation Error: The event type ${eventName} is not supported because it's not tied to a branch or tag ref.`,
  );
  return false;
}
