/** Which driver runs a job: the one that was wished, or the strongest that works here. */
import { AgentError } from '../errors.ts';
import type { DriverProbe, SandboxDriver } from '../sandbox/driver.ts';

export type ProbedDriver = { driver: SandboxDriver; probe: DriverProbe };

export const fitsWish = (
  driver: Pick<SandboxDriver, 'name'>,
  probe: DriverProbe,
  wish: string,
): boolean => probe.works && (wish === '' || wish === 'auto' ? probe.auto : driver.name === wish);

/** @param drivers strongest first */
export function chooseDriver(drivers: readonly ProbedDriver[], wish: string): ProbedDriver {
  const chosen = drivers.find(({ driver, probe }) => fitsWish(driver, probe, wish));
  if (chosen !== undefined) return chosen;
  const notes = drivers.map(({ driver, probe }) => `${driver.name}: ${probe.note}`).join('; ');
  throw new AgentError(
    'driver_unavailable',
    `No driver for "${wish === '' ? 'auto' : wish}" works on this host (${notes}).`,
  );
}
