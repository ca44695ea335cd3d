/** Which driver runs a job: the one that was wished, or the strongest that works here. */
import { AgentError } from '../errors.ts';
import type { DriverProbe, SandboxDriver } from '../sandbox/driver.ts';

export type ProbedDriver = { driver: SandboxDriver; probe: DriverProbe };

/** @param drivers strongest first */
export function chooseDriver(drivers: readonly ProbedDriver[], wish: string): ProbedDriver {
  const chosen =
    wish === '' || wish === 'auto'
      ? drivers.find(({ probe }) => probe.works && probe.auto)
      : drivers.find(({ driver, probe }) => probe.works && driver.name === wish);
  if (chosen !== undefined) return chosen;
  const notes = drivers.map(({ driver, probe }) => `${driver.name}: ${probe.note}`).join('; ');
  throw new AgentError(
    'driver_unavailable',
    `No driver for "${wish === '' ? 'auto' : wish}" works on this host (${notes}).`,
  );
}
