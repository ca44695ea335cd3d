/** Who a machine is: made when it is greeted, so that whatever ran in it before shares none of it. */
import { randomBytes } from 'node:crypto';
import type { HostHello } from '@onejob/protocol';

const MACHINE_ID_BYTES = 16;
const ENTROPY_BYTES = 64;

export function newIdentity(
  parts: Pick<HostHello, 'sandboxId' | 'network' | 'steered' | 'actions'>,
): HostHello {
  return {
    ...parts,
    hostname: parts.sandboxId,
    machineId: randomBytes(MACHINE_ID_BYTES).toString('hex'),
    entropy: randomBytes(ENTROPY_BYTES).toString('hex'),
    clockUnixMs: Date.now(),
  };
}
