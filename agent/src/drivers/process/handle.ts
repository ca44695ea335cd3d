/** The end of a guest runner that is a process of this host: its death is the job's doing, never a monitor's. */
import type { MachineEnd } from '../../sandbox/driver.ts';
import type { SeenEnd } from '../../sandbox/machine-handle.ts';

/** Pure: from what was seen to who is to blame. */
export function explainEnd({ exit, killedByUs, output }: SeenEnd): MachineEnd {
  if (killedByUs) return { cause: 'killed', detail: 'killed by the agent' };
  const how = exit.signal === null ? `exit code ${exit.code}` : `signal ${exit.signal}`;
  const said = output.trim() === '' ? '' : `; it said: ${output.trim()}`;
  return { cause: 'runner_gone', detail: `the guest runner ended with ${how}${said}` };
}
