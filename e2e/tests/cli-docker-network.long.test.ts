/** Network mode `nat` as a user sees it by the driver docker: the same jobs, each in a container. */
import { join } from 'node:path';
import { test } from 'node:test';
import { whyNoEngine } from '@onejob/testing/container-engine';
import { checkListed, checkReached, openNetworkJobs } from './_network-jobs.ts';

const whyNot = whyNoEngine();

if (whyNot !== undefined) test('containers with a network', { skip: whyNot }, () => {});
else await testContainers();

async function testContainers(): Promise<void> {
  const withEngine = [process.execPath, join(import.meta.dirname, '_with-engine.ts')];
  const { see } = await openNetworkJobs('docker', withEngine);

  test('a container with a network of its own reaches the public by name, and nothing else', async (t) => {
    const seen = await see(t, 'nat');
    if (seen !== undefined) checkReached(seen);
  });

  test('a container with an allow-list has no way out but the proxy, whatever its interface', async (t) => {
    const seen = await see(t, 'listed');
    if (seen !== undefined) checkListed(seen);
  });
}
