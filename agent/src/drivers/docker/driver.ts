/**
 * The driver for hosts with a container engine: each job in a container of its own, with the guest
 * image as its root, no network but the link, no capability beyond a short list, and the engine's
 * seccomp profile. Jobs share the host's kernel, so it is the weakest that `auto` takes.
 *
 * A container does not die with the agent by itself. A guardian process removes it as soon as the
 * agent is gone; where that is killed too, the next start of the agent or `onejob reap` does.
 */
import { realpathSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { explainError } from '@onejob/protocol';
import { startGuardian } from '../../host/guardian.ts';
import { AgentError } from '../../errors.ts';
import { listMountPoints } from '../../host/mount-table.ts';
import { isHostDiskFull } from '../../host/work-disk.ts';
import type {
  DriverProbe,
  ProvisionRequest,
  SandboxDriver,
  SandboxHandle,
} from '../../sandbox/driver.ts';
import { moveCard } from '../../network/card.ts';
import { steerConnections, whyNotSteered } from '../../network/steering.ts';
import { ComingUp } from '../../sandbox/coming-up.ts';
import { MachineHandle } from '../../sandbox/machine-handle.ts';
import type { Acquisition } from '../../sandbox/journal.ts';
import { checkShape } from '../../sandbox/shape.ts';
import type { ProvisionStack } from '../../sandbox/stack.ts';
import { findOnce } from '../find-once.ts';
import {
  BOOT_TIMEOUT_MS,
  DEFAULT_SOCKET_PATH,
  PROBE_TIMEOUT_MS,
  SHAPE_LIMITS,
  type DockerDriverConfig,
} from './config.ts';
import { containerOptions, type Reach } from './container.ts';
import { Engine, isObject } from './engine.ts';
import { Container } from './handle.ts';
import { importImage } from './image-import.ts';
import { checkImageName, checkSettings, type CheckedSettings, type HostPlaces } from './rules.ts';

const REMOVE_PROGRAM = fileURLToPath(new URL('./remove-left-container.ts', import.meta.url));

/** What the engine told of itself, once. */
type Host = {
  engine: Engine;
  engineDirectory: string;
  settings: CheckedSettings;
  probe: Pick<DriverProbe, 'limits' | 'card' | 'note'>;
  /** Why connections of its containers are not steered; undefined: they are. */
  whyNotSteered: () => Promise<string | undefined>;
};

/** Throws `invalid_configuration` where the operator's settings are refused. */
export function createDockerDriver(config: DockerDriverConfig): SandboxDriver {
  const settings = checkSettings(config.settings, placesOf(config));
  if (config.settings.image !== undefined) {
    checkImageName(config.settings.image, config.settings.allowedImages);
  }
  const host = findOnce(async () => await findHost(config, settings));
  return {
    name: 'docker',
    probe: async () => {
      try {
        const { probe, whyNotSteered: ask } = await host();
        const note = noteOf(probe.note, await ask());
        return { ...UNPROBED, works: true, auto: true, ...probe, note };
      } catch (error) {
        return { ...UNPROBED, note: explainError(error) };
      }
    },
    provision: async (request, stack) => await provision(config, await host(), request, stack),
  };
}

const placesOf = ({ ownDirectories }: DockerDriverConfig): HostPlaces => ({
  resolveLink: realpathSync,
  mountPoints: listMountPoints,
  ownDirectories,
});

const UNPROBED: DriverProbe = {
  works: false,
  ownKernel: false,
  bootsImage: true,
  auto: false,
  needsRoot: false,
  card: 'pair',
  limits: [],
  snapshot: false,
  freeze: false,
  note: '',
};

async function findHost(config: DockerDriverConfig, settings: CheckedSettings): Promise<Host> {
  const engine = new Engine(config.settings.socketPath ?? DEFAULT_SOCKET_PATH);
  const body: unknown = await engine.ask(
    'tell of itself',
    async (docker) => docker.info() as Promise<unknown>,
    PROBE_TIMEOUT_MS,
  );
  if (!isObject(body)) {
    throw new AgentError('driver_unavailable', 'The container engine does not tell what it is.');
  }
  if (body['OSType'] !== undefined && body['OSType'] !== 'linux') {
    throw new AgentError('driver_unavailable', 'The container engine runs no Linux containers.');
  }
  const security = Array.isArray(body['SecurityOptions']) ? body['SecurityOptions'] : [];
  if (!security.some((one) => String(one).startsWith('name=seccomp'))) {
    throw new AgentError(
      'driver_unavailable',
      'The container engine filters no system calls (no seccomp), so it isolates too little for a job.',
    );
  }
  const { runtime } = settings;
  if (runtime !== undefined && !(isObject(body['Runtimes']) && runtime in body['Runtimes'])) {
    throw new AgentError(
      'driver_unavailable',
      `The container engine has no runtime ${runtime}; name it in its daemon.json, or choose another.`,
    );
  }
  const limits: DriverProbe['limits'] = [
    ...(body['CpuCfsQuota'] === false ? [] : ['cpu' as const]),
    ...(body['MemoryLimit'] === false ? [] : ['memory' as const]),
  ];
  const told = (key: string, otherwise: string): string =>
    typeof body[key] === 'string' ? body[key] : otherwise;
  const runBy = runtime ?? told('DefaultRuntime', 'its default runtime');
  // gVisor has a network of its own behind the namespace: it takes the interfaces that are there when it
  // starts, and no rules or routes.
  const isOwnNetwork = runBy === 'runsc';
  const notes = [
    `container engine ${told('ServerVersion', 'of unknown version')}`,
    `run by ${runBy}`,
    "on the host's kernel",
    limits.includes('memory') ? 'its disk is not limited' : 'its memory and disk are not limited',
  ];
  const engineDirectory = told('DockerRootDir', '/var/lib/docker');
  const probe = { limits, card: isOwnNetwork ? undefined : UNPROBED.card, note: notes.join(', ') };
  const cannot = 'gVisor has a network of its own';
  const whyNot = isOwnNetwork ? async () => await Promise.resolve(cannot) : untilItWorks();
  return { engine, engineDirectory, settings, probe, whyNotSteered: whyNot };
}

/** Asks again while it does not: what is missing may be installed, and a host be less busy. */
function untilItWorks(): () => Promise<string | undefined> {
  let works = false;
  return async () => {
    if (works) return undefined;
    const whyNot = await whyNotSteered();
    works = whyNot === undefined;
    return whyNot;
  };
}

const noteOf = (note: string, whyNot: string | undefined): string =>
  whyNot === undefined ? note : `${note}, ${lackOf(whyNot)}`;
const lackOf = (whyNot: string): string => `for programs that know a proxy only: ${whyNot}`;

async function provision(
  config: DockerDriverConfig,
  host: Host,
  request: ProvisionRequest,
  stack: ProvisionStack,
): Promise<SandboxHandle> {
  if (request.image === null && config.settings.image === undefined) {
    throw new AgentError(
      'image_missing',
      'The docker driver needs a guest image: onejob image build, and onejob image list',
    );
  }
  checkShape(request.shape, SHAPE_LIMITS);
  await using coming = new ComingUp(request, stack);
  const { signal, acquire } = coming;
  const linkDirectory = join(request.directory, 'link');
  await acquire({ kind: 'directory', path: linkDirectory }, async () => {
    await mkdir(linkDirectory, { mode: 0o700 });
  });
  await coming.listen(linkDirectory);
  signal.throwIfAborted();
  const image = await imageFor(config, host, request);
  // An import may take a minute, once; what is timed is the machine.
  const timeoutMs = config.bootTimeoutMs ?? BOOT_TIMEOUT_MS;
  coming.setDeadline(timeoutMs, ' after its container was created');
  const way = await wayOf(host, request);
  const { reach } = way;
  const parts = { config, host, request, linkDirectory, image, reach, acquire };
  const container = await startContainer(parts);
  void container.ended.then(({ detail }) => {
    const message = `The container ended before its guest runner connected: ${detail}.`;
    coming.fail(new AgentError('boot_failed', message));
  });
  await using undo = new AsyncDisposableStack();
  undo.defer(async () => await container.kill());
  const carriers = await coming.carriers();
  undo.defer(() => void [carriers.control.destroy(), carriers.bulk.destroy()]);
  const whyNot = await makeWay(config, request, way, signal);
  const steered = reach === 'steered' && whyNot === undefined;
  const phasesMs = coming.phasesMs();
  const { engineDirectory } = host;
  const note = noteOf(host.probe.note, whyNot);
  const lacks = whyNot === undefined ? undefined : lackOf(whyNot);
  const handle = new MachineHandle({
    ...{ driver: 'docker', note, lacks, machine: container, steered, carriers, phasesMs },
    // Where the engine keeps what containers write.
    isHostDiskFull: async () => await isHostDiskFull(engineDirectory).catch(() => false),
  });
  undo.move();
  return handle;
}

/** `whyNot`: why programs that know no proxy reach nothing. */
type Way = { reach: Reach; whyNot: string | undefined };

async function wayOf(host: Host, { network }: ProvisionRequest): Promise<Way> {
  if (network !== undefined) return { reach: 'card', whyNot: undefined };
  const whyNot = await host.whyNotSteered();
  return { reach: whyNot === undefined ? 'steered' : 'proxy', whyNot };
}

/** Of a container that runs, and has nothing of its job yet. */
async function makeWay(
  { hostMarker }: DockerDriverConfig,
  { sandboxId, network }: ProvisionRequest,
  { reach, whyNot }: Way,
  signal: AbortSignal,
): Promise<Way['whyNot']> {
  const processes = { hostMarker, sandboxId };
  if (network !== undefined) await moveCard(network, processes, signal);
  return reach === 'steered' ? await steerConnections(processes, signal) : whyNot;
}

/** Created, then guarded, then started: at no moment does one run that nobody would remove. */
async function startContainer(parts: {
  config: DockerDriverConfig;
  host: Host;
  request: ProvisionRequest;
  linkDirectory: string;
  image: string;
  reach: Reach;
  acquire: <T>(what: Acquisition, make: () => T | Promise<T>) => Promise<T>;
}): Promise<Container> {
  const { config, request, linkDirectory, image, acquire } = parts;
  const { engine, settings } = parts.host;
  const { hostMarker, nodePath } = config;
  const { sandboxId, shape } = request;
  const { socketPath } = engine;
  // Once more: a link of the operator's may lead elsewhere by now.
  checkSettings(config.settings, placesOf(config));
  const options = containerOptions({
    ...{ hostMarker, sandboxId, image, shape, settings, linkDirectory },
    reach: parts.reach,
  });
  await acquire({ kind: 'container', sandboxId, socketPath }, async () => {
    await engine.ask('create a container', async (docker) => docker.createContainer(options));
  });
  await acquire({ kind: 'process', role: 'guardian', sandboxId }, () => {
    const args = [REMOVE_PROGRAM, socketPath, hostMarker, sandboxId];
    startGuardian({ hostMarker, sandboxId, command: nodePath, args });
  });
  request.signal.throwIfAborted();
  return await Container.start(engine, { hostMarker, sandboxId });
}

async function imageFor(
  { cacheDirectory, settings }: DockerDriverConfig,
  { engine }: Host,
  { image }: ProvisionRequest,
): Promise<string> {
  if (settings.image !== undefined || image === null) return settings.image ?? '';
  const name = await importImage(engine, image, cacheDirectory);
  checkImageName(name, settings.allowedImages);
  return name;
}
