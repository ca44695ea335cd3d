/**
 * What a machine is made of, as one key: a snapshot is restored for machines with the same key alone.
 * Promises: whatever of the image (its kernel and its guest runner are parts of its digest), of QEMU, of
 * the host's kernel and processor, of the shape, the card or the tenant changes, the key does.
 */
import { readFile } from 'node:fs/promises';
import { release } from 'node:os';
import type { newSandboxId } from '@onejob/protocol';
import type { MachineImage, MachineKind } from '../../sandbox/driver.ts';
import type { Host } from './host.ts';
import { qemuArguments } from './machine.ts';
import { snapshotKey } from './snapshot-store.ts';

/** What QEMU runs on: a state that was saved on one is not restored on another. */
export type Ground = { kernel: string; processor: readonly (string | undefined)[] };

export async function readGround(): Promise<Ground> {
  const text = await readFile('/proc/cpuinfo', 'utf8');
  const lines = [/^model name.*$/m, /^flags.*$/m];
  return { kernel: release(), processor: lines.map((line) => line.exec(text)?.[0]) };
}

/** Every machine has another name, and other places on the host, which are no part of it. */
const PLACEHOLDER = 'sb0000000000000000' as ReturnType<typeof newSandboxId>;
const PLACES = { kernelPath: 'kernel', initrdPath: 'initrd', rootPath: 'root' };

export function kindKey(
  { acceleration, qemuBuild }: Pick<Host, 'acceleration' | 'qemuBuild'>,
  { kernel, processor }: Ground,
  { shape, network, tenant, image }: MachineKind & { image: MachineImage },
): string {
  const machine = qemuArguments({
    ...{ sandboxId: PLACEHOLDER, acceleration, shape, image: { ...image, ...PLACES } },
    workDisk: { format: 'plain', path: 'work' },
    sockets: { control: 'control', bulk: 'bulk', init: 'init' },
    ...(network === undefined ? {} : { network: { tapDescriptor: 0, hasIpv6: network.hasIpv6 } }),
    snapshot: { use: 'restore', memoryPath: 'memory', monitorPath: 'monitor', statePath: '' },
  });
  return snapshotKey([image.digest, shape, tenant ?? null, qemuBuild, kernel, processor, machine]);
}
