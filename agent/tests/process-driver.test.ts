/** The driver contract on the process driver. */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { bundleGuestRunner } from '@onejob/image';
import { PROCESS_BOOT_TIMEOUT_MS } from '../src/drivers/process/config.ts';
import { createProcessDriver } from '../src/drivers/process/driver.ts';
import { driverContract } from './driver-contract.ts';

const { path: guestRunnerPath } = await bundleGuestRunner({
  cacheDir: join(homedir(), '.cache', 'onejob'),
});

driverContract({
  name: 'process',
  createDriver: ({ hostMarker }) =>
    createProcessDriver({
      hostMarker,
      nodePath: process.execPath,
      searchPath: process.env['PATH'] ?? '/usr/bin:/bin',
      bootTimeoutMs: PROCESS_BOOT_TIMEOUT_MS,
    }),
  image: null,
  guestRunnerPath,
  ownKernel: false,
  auto: false,
  killRunner: 'from outside',
});
