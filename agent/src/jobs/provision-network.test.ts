/** Who gets a network of its own on a host that cannot make each kind of card, and what the others are told. */
import assert from 'node:assert/strict';
import { mkdtempDisposable } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { newSandboxId } from '@onejob/protocol';
import type { ProbedDriver } from '../drivers/choose.ts';
import { createDockerDriver } from '../drivers/docker/driver.ts';
import { createQemuDriver } from '../drivers/qemu/driver.ts';
import { createGuard } from '../guard/guard.ts';
import { NOTHING } from '../guard/job-policy.ts';
import { SandboxNetworks } from '../network/networks.ts';
import { DEFAULT_ADDRESS_RANGE, parseAddressRange } from '../network/plan.ts';
import type { DriverProbe } from '../sandbox/driver.ts';
import { Journal } from '../sandbox/journal.ts';
import { ProvisionStack } from '../sandbox/stack.ts';
import { assertSomeCard, provisionNetwork } from './provision-network.ts';

const PROBE: Omit<DriverProbe, 'card'> = {
  ...{ works: true, ownKernel: true, bootsImage: true, auto: true, needsRoot: true },
  ...{ limits: [], snapshot: false, freeze: false, note: '' },
};
const hostMarker = 'test-provision-network';
const qemu: ProbedDriver = {
  driver: createQemuDriver({ hostMarker, cacheDirectory: '/nowhere' }),
  probe: { ...PROBE, card: 'tap' },
};
const docker: ProbedDriver = {
  driver: createDockerDriver({
    ...{ hostMarker, cacheDirectory: '/nowhere', nodePath: '', ownDirectories: [], settings: {} },
  }),
  probe: { ...PROBE, card: 'pair' },
};
const missingCards = { tap: 'there is no tap' };

test('an agent starts where one of its drivers can give machines a network, and else says why none can', () => {
  assert.throws(() => assertSomeCard([qemu], missingCards), {
    code: 'network_unavailable',
    message: 'Network mode nat does not work here with the driver qemu: there is no tap.',
  });
  assertSomeCard([qemu, docker], missingCards);
  assertSomeCard([qemu], {});
  assertSomeCard([{ ...qemu, probe: { ...qemu.probe, works: false } }], missingCards);
  const broken = { ...docker, probe: { ...docker.probe, works: false } };
  assert.throws(() => assertSomeCard([qemu, broken], missingCards), /with the driver qemu: /);
});

test('a machine whose card cannot be made here is refused before anything is made, and told what else there is', async () => {
  await using directory = await mkdtempDisposable(`${tmpdir()}/onejob-card-`);
  const guard = createGuard({ records: () => {} });
  const pool = parseAddressRange(DEFAULT_ADDRESS_RANGE);
  const networks = new SandboxNetworks({ hostMarker, guard, pool, hasIpv6: true, missingCards });
  const sandboxId = newSandboxId();
  const stack = new ProvisionStack(new Journal(directory.path, sandboxId), async () => {});
  const request = {
    egress: { sandboxId, policy: () => NOTHING },
    directory: directory.path,
    signal: AbortSignal.abort(),
  };
  await assert.rejects(provisionNetwork(networks, qemu, request, stack), {
    code: 'driver_unavailable',
    message:
      'This host gives machines of the driver qemu no network of their own (network mode nat): there is no tap. Till then: --driver docker, or --network link.',
  });
  assert.equal(stack.depth, 0);
  // It goes on to make one, which its signal ends.
  await assert.rejects(provisionNetwork(networks, docker, request, stack), { name: 'AbortError' });
});
