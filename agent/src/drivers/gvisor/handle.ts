/**
 * A sandbox of gVisor's, watched. `runsc run` stays with it and ends as it ended: the machine monitor
 * and the sandbox's kernel are one process, so what kills that for want of memory is the job's doing.
 */
import type { MachineEnd } from '../../sandbox/driver.ts';
import type { SeenEnd } from '../../sandbox/machine-handle.ts';

/** An exit status above is a signal's number and this (POSIX, section 2.8.2). */
const SIGNAL_STATUS = 128;

/** Pure: from what was seen to who is to blame. */
export function explainEnd(seen: SeenEnd): MachineEnd {
  const { exit, killedByUs, oomKills } = seen;
  if (killedByUs) return { cause: 'killed', detail: 'killed by the agent' };
  const said = seen.output.trim() === '' ? '' : `; it said: ${seen.output.trim()}`;
  const code = exit.code ?? SIGNAL_STATUS;
  if (code < SIGNAL_STATUS) {
    return { cause: 'runner_gone', detail: `the guest runner ended with exit code ${code}${said}` };
  }
  if (oomKills > 0) {
    return { cause: 'runner_gone', detail: `its kernel was killed for want of memory${said}` };
  }
  // runsc's own failures have the status 128; a signal of its own is none of the sandbox's.
  if (code === SIGNAL_STATUS) {
    const how = exit.signal === null ? `exit status ${code}` : `signal ${exit.signal}`;
    return { cause: 'vmm_died', detail: `runsc ended with ${how}${said}` };
  }
  const signal = code - SIGNAL_STATUS;
  return { cause: 'runner_gone', detail: `the guest runner ended with signal ${signal}${said}` };
}
