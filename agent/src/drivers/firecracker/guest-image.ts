/**
 * Whether a guest image can be a machine of Firecracker's: the link goes through a vsock device there,
 * whose driver has to be among the modules of the image's initial file system.
 */
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { gunzip } from 'node:zlib';
import { AgentError } from '../../errors.ts';
import type { MachineImage } from '../../sandbox/driver.ts';
import { INITRD_BYTES } from './config.ts';

/** The transport that a guest of a virtio-vsock device needs; it brings `vsock` along. */
const MODULE = 'modules/vmw_vsock_virtio_transport.ko';

/** @throws AgentError `image_missing`, saying what the image lacks */
export async function checkImage(image: MachineImage | null): Promise<MachineImage> {
  if (image === null) {
    throw new AgentError(
      'image_missing',
      'The firecracker driver needs a guest image: onejob image build, and onejob image list',
    );
  }
  const packed = await readFile(image.initrdPath);
  const archive = await promisify(gunzip)(packed, { maxOutputLength: INITRD_BYTES }).catch(
    (cause: unknown) => {
      throw unfit(image, 'its initial file system cannot be unpacked', cause);
    },
  );
  if (archive.includes(`${MODULE}\0`)) return image;
  throw unfit(image, `its initial file system lacks ${MODULE}, and so it has no link`);
}

const unfit = ({ digest }: MachineImage, why: string, cause?: unknown): AgentError =>
  new AgentError(
    'image_missing',
    `The image ${digest.slice(0, 12)} is none for Firecracker: ${why}. Use the driver qemu, or an image with vsock: docs/drivers.md`,
    cause === undefined ? undefined : { cause },
  );
