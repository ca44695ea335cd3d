/** What a machine can be, checked before anything of it is acquired. */
import type { Offer } from '@onejob/protocol/agent-service';
import { AgentError } from '../errors.ts';
import type { Shape } from './driver.ts';

/** The extremes a driver can make. */
export type ShapeLimits = {
  mostCpus: number;
  smallestMemoryBytes: number;
  smallestDiskBytes: number;
};

/** Throws `invalid_configuration`, naming every value that is out of its limits. */
export function checkShape(shape: Shape, limits: ShapeLimits): void {
  const { mostCpus, smallestMemoryBytes, smallestDiskBytes } = limits;
  const problems = [
    Number.isInteger(shape.cpus) && shape.cpus >= 1 && shape.cpus <= mostCpus
      ? []
      : [`${shape.cpus} processors (1 to ${mostCpus})`],
    shape.memoryBytes >= smallestMemoryBytes
      ? []
      : [`${shape.memoryBytes} bytes of memory (at least ${smallestMemoryBytes})`],
    shape.diskBytes >= smallestDiskBytes
      ? []
      : [`${shape.diskBytes} bytes of disk (at least ${smallestDiskBytes})`],
  ].flat();
  if (problems.length === 0) return;
  throw new AgentError(
    'invalid_configuration',
    `A machine cannot have ${problems.join(', ')}. Change the shape of the job's label.`,
  );
}

/** The shape that an offer asks for; what it does not say is refused by the driver's limits. */
export const shapeOf = ({ shape }: Pick<Offer, 'shape'>): Shape => ({
  cpus: shape?.cpus ?? 1,
  memoryBytes: Number(shape?.memoryBytes ?? 0),
  diskBytes: Number(shape?.diskBytes ?? 0),
});
