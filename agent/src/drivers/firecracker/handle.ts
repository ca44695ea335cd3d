/**
 * A machine of Firecracker's, watched. Who is to blame is read from Firecracker's own end, which its
 * jailer and the shell around both pass on: status 0 is a guest that reset its processor, its only way to
 * end; any other one, or a signal, is the monitor failing.
 *
 *     running -> ended      killed | vmm_died | runner_gone
 */
import type { ProcessExit } from '../../host/supervised-process.ts';
import type { MachineEnd } from '../../sandbox/driver.ts';
import type { SeenEnd } from '../../sandbox/machine-handle.ts';
import { SHOWN_OUTPUT_CHARACTERS } from './config.ts';

/** An exit status above is a signal's number and this (POSIX, section 2.8.2) ... */
const SIGNAL_STATUS = 128;
/** ... but for those by which Firecracker itself ends (vmm, FcExitCode): 148 to 157. */
const OWN_STATUS = { first: 148, last: 157 } as const;
const KILL_STATUS = SIGNAL_STATUS + 9;

/** Pure: from what was seen to who is to blame. */
export function explainEnd(seen: SeenEnd): MachineEnd {
  const { exit, killedByUs, oomKills } = seen;
  if (killedByUs) return { cause: 'killed', detail: 'killed by the agent' };
  const output = seen.output.trim().slice(-SHOWN_OUTPUT_CHARACTERS);
  const said = output === '' ? '' : `; Firecracker said: ${output}`;
  if (exit.code === 0) {
    return {
      cause: 'runner_gone',
      detail: `the guest ended its machine (Firecracker exit status 0)${said}`,
    };
  }
  const wasKilled = exit.signal === 'SIGKILL' || exit.code === KILL_STATUS;
  const why =
    wasKilled && oomKills > 0
      ? ", killed by the host's kernel: its control group had no memory left for Firecracker itself"
      : '';
  return { cause: 'vmm_died', detail: `Firecracker ended with ${howOf(exit)}${why}${said}` };
}

function howOf({ code, signal }: ProcessExit): string {
  if (signal !== null) return `signal ${signal}`;
  const status = code ?? 0;
  const isOwn = status >= OWN_STATUS.first && status <= OWN_STATUS.last;
  return status <= SIGNAL_STATUS || isOwn
    ? `exit status ${status}`
    : `signal ${status - SIGNAL_STATUS}`;
}
