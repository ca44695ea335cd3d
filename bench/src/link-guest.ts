/** In the guest, in the runner's place: load on a stream of the link, as the runner opens it for a job. */
import { openSessions } from '@onejob/guest-runner/carrier';
import { sayHello } from '@onejob/guest-runner/host';
import { openTunnel } from '@onejob/guest-runner/tunnel';
import { GUEST_PROTOCOL, MACHINE } from '@onejob/protocol';
import { drive } from './link-load.ts';

const port = (name: string): string => `/dev/virtio-ports/${name}`;
const { control: controlPort, bulk: bulkPort } = MACHINE.ports;
const carrier = {
  kind: 'virtio',
  controlPort: port(controlPort),
  bulkPort: port(bulkPort),
} as const;

async function load(): Promise<void> {
  const { control, bulk } = await openSessions(carrier, async () => {});
  await sayHello(control, {
    protocol: GUEST_PROTOCOL,
    runnerVersion: 'bench',
    nodeVersion: process.version,
    uptimeMs: 0,
  });
  await drive(await openTunnel(async () => await bulk, 'load.example.org:1'));
}

void load();
