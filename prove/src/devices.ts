/**
 * Nonsense in the registers of the devices that a machine's monitor emulates, written by root in a job of
 * its own (probe/devices.c). A monitor with a hole ends by a signal or an error; without one it goes on,
 * or ends the machine as it is told to. What becomes of the guest is the guest's own affair.
 *
 * The control: the same job in a machine with one device more, at which any write ends the monitor.
 */
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Observation } from './judge.ts';
import type { EndedProbeJob, Lab } from './lab.ts';
import { DEVICES_MS, OBSERVED_CHARACTERS } from './limits.ts';
import { compileProgram } from './scene/tools.ts';
import { devicesFiles } from './workflow.ts';

const SOURCE = join(import.meta.dirname, 'probe', 'devices.c');

export type DevicesResult = { attack: Observation; control: Observation };

export async function tryDevices(
  lab: Lab,
  openObeying: () => Promise<Lab & AsyncDisposable>,
  driver: string,
): Promise<DevicesResult> {
  let program: Buffer;
  try {
    program = await compileProgram(SOURCE);
  } catch (error) {
    const why = `its program could not be compiled here: ${(error as Error).message}`;
    const nothing: Observation = { outcome: 'not tried', why: why.slice(0, OBSERVED_CHARACTERS) };
    return { attack: nothing, control: nothing };
  }
  const attack = observeDevices(await writeNonsense(lab, driver, program));
  await using obeying = await openObeying();
  return { attack, control: observeDevices(await writeNonsense(obeying, driver, program)) };
}

async function writeNonsense(lab: Lab, driver: string, program: Buffer): Promise<EndedProbeJob> {
  const stop = new AbortController();
  return await lab.run(
    { driver, files: devicesFiles(program), secrets: {}, vars: {} },
    {
      stop: stop.signal,
      running: async (_, end) => {
        await sleep(DEVICES_MS, undefined, { signal: end }).catch(() => {});
        if (!end.aborted) stop.abort();
      },
    },
  );
}

/** How the agent tells that a monitor failed; one that ends in order has the exit status 0. */
const FAILED = /QEMU ended with ((?:exit status|signal) \w+)/;
const WROTE = /^onejob-prove wrote (\d+)$/;

/** Pure. */
export function observeDevices({ lines, ended }: EndedProbeJob): Observation {
  const failed = FAILED.exec(ended)?.[1];
  if (failed !== undefined) {
    return { outcome: 'through', seen: `its monitor ended with ${failed}` };
  }
  const writes = Math.max(0, ...lines.map((line) => Number(WROTE.exec(line)?.[1] ?? 0)));
  const end = ended.replaceAll(/\s+/g, ' ');
  if (writes === 0) {
    return { outcome: 'not tried', why: `it wrote nothing: ${end}`.slice(0, OBSERVED_CHARACTERS) };
  }
  const seen = `after at least ${writes} writes its monitor had not failed; its job: ${end}`;
  return { outcome: 'stopped', seen: seen.slice(0, OBSERVED_CHARACTERS) };
}
