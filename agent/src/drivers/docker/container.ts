/**
 * A sandbox's container: what the engine is asked to make, and how one is found again and removed. A
 * container is ours when its labels name this agent's host marker and the sandbox; a name alone is
 * nobody's proof, and nothing without both labels is ever touched.
 */
import type { ContainerCreateOptions, MountSettings } from 'dockerode';
import { isSandboxId, MACHINE, type SandboxId } from '@onejob/protocol';
import { HOST_VARIABLE, SANDBOX_VARIABLE } from '../../host/processes.ts';
import { AgentError } from '../../errors.ts';
import type { Shape } from '../../sandbox/driver.ts';
import { LINK_DIRECTORY, MOST_PROCESSES } from './config.ts';
import { statusOf, type Engine } from './engine.ts';
import type { CheckedSettings } from './rules.ts';
import { containerUlimits } from './ulimits.ts';

export const HOST_LABEL = 'onejob.host';
export const SANDBOX_LABEL = 'onejob.sandbox';
/**
 * How a container reaches anything: it gets an interface once it runs, its connections are steered then,
 * or it has its proxy alone.
 */
export type Reach = 'card' | 'steered' | 'proxy';

/** Who looks names up for it. Never the host's resolver. */
const RESOLVERS: Record<Reach, string> = {
  card: MACHINE.network.gateway,
  steered: MACHINE.steering.resolver,
  // Itself, where nothing listens.
  proxy: '127.0.0.1',
};

/** As in the image's own /etc/hosts. */
const HOST_NAME = 'onejob';

export const containerName = (sandboxId: string): string => `onejob-${sandboxId}`;

/** What is mounted in a shared directory stays out of it (Engine API 1.40; the client's types lack it). */
const ONLY_ITSELF = { Propagation: 'rprivate', NonRecursive: true } as const;

/** What the engine makes a container from. Holds no secret: whoever may ask the engine sees it. */
export function containerOptions(options: {
  hostMarker: string;
  sandboxId: SandboxId;
  image: string;
  shape: Shape;
  settings: CheckedSettings;
  /** Directory of this host with the carriers' sockets and nothing else. */
  linkDirectory: string;
  reach: Reach;
}): ContainerCreateOptions {
  const { hostMarker, sandboxId, image, shape, settings, reach } = options;
  const memory = Math.round(shape.memoryBytes);
  const mount = (Source: string, Target: string): MountSettings => ({
    ...({ Type: 'bind', Source, Target, ReadOnly: true } as const),
    BindOptions: ONLY_ITSELF,
  });
  return {
    name: containerName(sandboxId),
    Image: image,
    Hostname: HOST_NAME,
    User: '0:0',
    WorkingDir: '/',
    Entrypoint: ['/usr/local/bin/node', '/opt/onejob/start-runner.cjs'],
    Cmd: [],
    Env: [
      'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
      ...['HOME=/root', 'LANG=C.UTF-8', 'ONEJOB_CARRIER=unix'],
      `ONEJOB_CONTROL_SOCKET=${LINK_DIRECTORY}/control.sock`,
      `ONEJOB_BULK_SOCKET=${LINK_DIRECTORY}/bulk.sock`,
      `ONEJOB_WORK=${MACHINE.workDirectory}`,
      ...[`${SANDBOX_VARIABLE}=${sandboxId}`, `${HOST_VARIABLE}=${hostMarker}`],
    ],
    Labels: { [HOST_LABEL]: hostMarker, [SANDBOX_LABEL]: sandboxId },
    ...{ AttachStdin: false, AttachStdout: false, AttachStderr: false, OpenStdin: false },
    Tty: false,
    HostConfig: {
      ...{ NetworkMode: 'none', IpcMode: 'private', CgroupnsMode: 'private' },
      ...{ Privileged: false, PublishAllPorts: false, Init: true },
      CapDrop: ['ALL'],
      CapAdd: settings.capabilities,
      // The engine's own seccomp profile holds, because none is named here.
      SecurityOpt: ['no-new-privileges'],
      ...{ Memory: memory, MemorySwap: memory, PidsLimit: MOST_PROCESSES },
      NanoCpus: Math.round(shape.cpus * 1e9),
      Ulimits: containerUlimits(),
      RestartPolicy: { Name: 'no' },
      // What a job writes to its machine's console is kept nowhere on the host's disk.
      LogConfig: { Type: 'none', Config: {} },
      // Programs look their own machine's name up: nobody else is to be asked for it.
      ExtraHosts: [`${HOST_NAME}:127.0.0.1`],
      Dns: settings.dns ?? [RESOLVERS[reach]],
      // The runner's resolver is on port 53, and it is root without any capability for that.
      ...(reach === 'steered' ? { Sysctls: { 'net.ipv4.ip_unprivileged_port_start': '0' } } : {}),
      Mounts: [
        mount(options.linkDirectory, LINK_DIRECTORY),
        ...settings.caches.map(({ source, target }) => mount(source, target)),
      ],
      ...(settings.runtime === undefined ? {} : { Runtime: settings.runtime }),
    },
  };
}

type Ours = { hostMarker: string; sandboxId: string };

/** Kills and removes the sandbox's container, with its volumes. Succeeds where there is none. */
export async function removeContainer(engine: Engine, { hostMarker, sandboxId }: Ours) {
  const name = containerName(sandboxId);
  const found = await engine.find('look at a container', async (docker) =>
    docker.getContainer(name).inspect(),
  );
  if (found === undefined) return;
  const labels = found.Config.Labels;
  if (labels?.[HOST_LABEL] !== hostMarker || labels[SANDBOX_LABEL] !== sandboxId) {
    throw new AgentError(
      'boot_failed',
      `The container ${name} does not have this agent's labels; it is left alone.`,
    );
  }
  await engine.find('remove a container', async (docker) => {
    const container = docker.getContainer(found.Id);
    try {
      await container.remove({ force: true, v: true });
    } catch (error) {
      // Somebody else removes it already.
      if (statusOf(error) !== 409) throw error;
      await container.wait({ condition: 'removed' });
    }
  });
}

/** Sandboxes of this agent that have a container, running or not. Read from labels, never from names. */
export async function listContainers(
  engine: Engine,
  hostMarker: string,
): Promise<{ sandboxId: SandboxId; bornAtMs: number }[]> {
  const filters = { label: [`${HOST_LABEL}=${hostMarker}`] };
  const containers = await engine.ask('list its containers', async (docker) =>
    docker.listContainers({ all: true, filters }),
  );
  return containers.flatMap(({ Labels, Created }) => {
    const sandboxId = Labels?.[SANDBOX_LABEL];
    if (Labels?.[HOST_LABEL] !== hostMarker || sandboxId === undefined) return [];
    return isSandboxId(sandboxId) ? [{ sandboxId, bornAtMs: Created * 1000 }] : [];
  });
}
