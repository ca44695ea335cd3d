/** A packed kernel for tests. */
import { execFileSync } from 'node:child_process';

/** A bzImage as the boot protocol describes it: setup sectors, then code with the payload inside. */
export function bzImage(content: Buffer): Buffer {
  const setupSectors = 3;
  const packed = execFileSync('lz4', ['-l', '-9', '-c'], { input: content });
  const payload = Buffer.concat([packed, Buffer.alloc(4)]);
  payload.writeUInt32LE(content.length, packed.length);
  const image = Buffer.concat([
    Buffer.alloc((setupSectors + 1) * 512 + 100),
    payload,
    Buffer.alloc(64),
  ]);
  image[0x1f1] = setupSectors;
  image.write('HdrS', 0x202, 'latin1');
  image.writeUInt32LE(100, 0x248);
  image.writeUInt32LE(payload.length, 0x24c);
  return image;
}
