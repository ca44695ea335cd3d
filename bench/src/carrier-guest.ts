/** In the guest, in the runner's place: load on a bare carrier, without HTTP/2. */
import { connectPort } from '@onejob/guest-runner/carrier';
import { MACHINE } from '@onejob/protocol';
import { drive } from './link-load.ts';

const open = async (name: string) => await connectPort(`/dev/virtio-ports/${name}`, {});

async function load(): Promise<void> {
  const { control, bulk } = MACHINE.ports;
  const [, socket] = await Promise.all([open(control), open(bulk)]);
  await drive(socket);
}

void load();
