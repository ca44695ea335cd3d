/** In the guest, in the runner's place: load on a stream of the link, as the runner opens it for a job. */
import { openTunnel } from '@onejob/guest-runner/tunnel';
import { MACHINE } from '@onejob/protocol';
import { openGreetedSessions } from './greeted-sessions.ts';
import { drive } from './link-load.ts';

const port = (name: string): string => `/dev/virtio-ports/${name}`;
const { control: controlPort, bulk: bulkPort } = MACHINE.ports;
const carrier = {
  kind: 'virtio',
  controlPort: port(controlPort),
  bulkPort: port(bulkPort),
} as const;

async function load(): Promise<void> {
  const { bulk } = await openGreetedSessions(carrier);
  await drive(await openTunnel(async () => await bulk, 'load.example.org:1'));
}

void load();
