/** The driver contract of containers on Podman, which answers as Docker's engine does. */
import { test } from 'node:test';
import { startTestPodman, whyNoPodman } from '@onejob/testing/podman';
import { openDockerLab } from './_docker-lab.ts';
import { driverContract } from './driver-contract.ts';

const whyNot = whyNoPodman();

if (whyNot !== undefined) test('driver docker on Podman', { skip: whyNot }, () => {});
else {
  const { createDriver, image, guestRunnerPath } = await openDockerLab(startTestPodman);
  driverContract({
    ...{ name: 'docker on Podman', createDriver, image, guestRunnerPath },
    ...{ ownKernel: false, auto: true, killRunner: 'from inside' },
    tellsMemoryKills: false,
  });
}
