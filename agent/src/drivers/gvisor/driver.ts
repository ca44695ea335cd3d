/**
 * The driver for hosts without a machine monitor: gVisor's runsc, whose kernel is a program that
 * answers the job's system calls itself and asks the host for few. The guest image is its root, its
 * changes are in memory, and it has no network but the link.
 *
 * Every process of it lives in a PID namespace and a control group of ours, so it ends with its agent,
 * whole, whatever runsc does about its own.
 */
import { existsSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { explainError } from '@onejob/protocol';
import {
  cgroupOomKills,
  cgroupPaths,
  cgroupPrefix,
  createCgroup,
  findCgroups,
  type Cgroups,
} from '../../host/cgroup.ts';
import { keepFinding, recallFinding } from '../../host/findings.ts';
import { pidNamespacePrefix } from '../../host/pid-namespace.ts';
import { findTool, runTool } from '../../host/short-tool.ts';
import { superviseProcess, type SupervisedProcess } from '../../host/supervised-process.ts';
import { unpackImage } from '../../host/unpacked-image.ts';
import { AgentError } from '../../errors.ts';
import { isHostDiskFull } from '../../host/work-disk.ts';
import type {
  DriverProbe,
  ProvisionRequest,
  SandboxDriver,
  SandboxHandle,
} from '../../sandbox/driver.ts';
import { ComingUp } from '../../sandbox/coming-up.ts';
import { MachineHandle, ProcessMachine } from '../../sandbox/machine-handle.ts';
import { checkShape } from '../../sandbox/shape.ts';
import type { ProvisionStack } from '../../sandbox/stack.ts';
import { ociConfig, STEER } from './bundle.ts';
import {
  BOOT_TIMEOUT_MS,
  DIALECTS,
  FINDING_FILE,
  PLATFORM_TIMEOUT_MS,
  PLATFORMS,
  SHAPE_LIMITS,
  VERSION_TIMEOUT_MS,
  type GvisorDriverConfig,
} from './config.ts';
import { explainEnd } from './handle.ts';
import { findOnce } from '../find-once.ts';

/** What works on this host, found out once, by running it. */
type Host = {
  runscPath: string;
  flags: readonly string[];
  leash: readonly string[];
  cgroups: Cgroups;
  note: string;
};

export function createGvisorDriver(config: GvisorDriverConfig): SandboxDriver {
  const host = findOnce(async () => await findHost(config));
  return {
    name: 'gvisor',
    probe: async () => {
      try {
        return probeResult(true, (await host()).note);
      } catch (error) {
        return probeResult(false, explainError(error));
      }
    },
    provision: async (request, stack) => await provision(config, await host(), request, stack),
  };
}

const probeResult = (works: boolean, note: string): DriverProbe => ({
  works,
  ownKernel: false,
  bootsImage: true,
  auto: works,
  needsRoot: true,
  card: undefined,
  limits: ['cpu', 'memory'],
  snapshot: false,
  freeze: false,
  note,
});

async function findHost(config: GvisorDriverConfig): Promise<Host> {
  const runscPath = config.runscPath ?? (await findTool('runsc'));
  if (runscPath === undefined) {
    throw new AgentError(
      'tool_missing',
      'Not installed: runsc. Install with: apt-get install runsc',
    );
  }
  if (process.getuid?.() !== 0) {
    throw new AgentError('driver_unavailable', 'The gvisor driver takes root; so do its limits.');
  }
  const [cgroups, leash] = await Promise.all([findCgroups(), pidNamespacePrefix()]);
  if ('whyNot' in cgroups) {
    throw new AgentError(
      'driver_unavailable',
      `Its memory and processors cannot be limited here: ${cgroups.whyNot}`,
    );
  }
  if (leash.length === 0) {
    throw new AgentError('driver_unavailable', 'This host refuses PID namespaces to this user.');
  }
  const { standardOutput } = await runTool(runscPath, ['--version'], {
    timeoutMs: VERSION_TIMEOUT_MS,
  });
  const version = /version (\S+)/.exec(standardOutput)?.[1] ?? 'of unknown version';
  const { platform, flags } = await findMode(config, { runscPath, version, leash });
  const note = `gVisor ${version}, ${platform}: a kernel in user space, files slow, its disk is memory`;
  return { runscPath, flags, leash, cgroups, note };
}

type Mode = { platform: string; flags: readonly string[] };

const MODES: readonly Mode[] = PLATFORMS.flatMap((platform) =>
  DIALECTS.map((dialect) => ({
    platform,
    flags: [
      ...[`--platform=${platform}`, '--network=none', '--net-raw', '--ignore-cgroups'],
      ...dialect,
    ],
  })),
);

/**
 * The first platform and wording that runs a program to its end, in time. One that does is remembered:
 * the tries before it take a second of each start.
 */
async function findMode(
  { cacheDirectory }: GvisorDriverConfig,
  runsc: { runscPath: string; version: string; leash: readonly string[] },
): Promise<Mode> {
  const findingPath = join(cacheDirectory, FINDING_FILE);
  const about = [runsc.runscPath, runsc.version, MODES];
  const known = MODES[Number(await recallFinding(findingPath, about))];
  if (known !== undefined) return known;
  const mode = await tryModes(runsc.runscPath, runsc.leash);
  await keepFinding(findingPath, about, MODES.indexOf(mode)).catch(() => {}); // tried again, then
  return mode;
}

async function tryModes(runscPath: string, leash: readonly string[]): Promise<Mode> {
  const refusals: string[] = [];
  const hanging = new Set<string>(); // another wording does not help
  const [command = '', ...words] = leash;
  for (const mode of MODES) {
    if (hanging.has(mode.platform)) continue;
    const args = [...words, runscPath, ...mode.flags, 'do', '/bin/true'];
    const limits = { timeoutMs: PLATFORM_TIMEOUT_MS };
    const tried = await runTool((await findTool(command)) ?? command, args, limits);
    if (tried.exitCode === 0) return mode;
    if (tried.timedOut) hanging.add(mode.platform);
    refusals.push(`${mode.platform}: ${tried.timedOut ? 'hangs' : lastLine(tried.standardError)}`);
  }
  throw new AgentError(
    'driver_unavailable',
    `runsc runs nothing on this host (${[...new Set(refusals)].join('; ')}).`,
  );
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1)?.slice(0, 300) ?? '';

async function provision(
  config: GvisorDriverConfig,
  host: Host,
  request: ProvisionRequest,
  stack: ProvisionStack,
): Promise<SandboxHandle> {
  const { sandboxId, directory, image } = request;
  if (image === null) {
    throw new AgentError(
      'image_missing',
      'The gvisor driver needs a guest image: onejob image build, and onejob image list',
    );
  }
  checkShape(request.shape, SHAPE_LIMITS);
  await using coming = new ComingUp(request, stack);
  const { signal, acquire } = coming;
  const paths = {
    link: join(directory, 'link'),
    bundle: join(directory, 'bundle'),
    state: join(directory, 'state'),
  };
  for (const path of Object.values(paths)) {
    await acquire({ kind: 'directory', path }, async () => await mkdir(path, { mode: 0o700 }));
  }
  await coming.listen(paths.link);
  signal.throwIfAborted();
  const rootPath = await unpackImage(image, config.cacheDirectory);
  const { hostMarker } = config;
  const linkDirectory = paths.link;
  const memoryFile = join(paths.state, 'meminfo');
  await writeFile(memoryFile, memoryOf(request.shape));
  const steered = existsSync(join(rootPath, STEER));
  const oci = ociConfig({ hostMarker, sandboxId, rootPath, linkDirectory, steered });
  await writeFile(join(paths.bundle, 'config.json'), JSON.stringify(oci));
  coming.setDeadline(config.bootTimeoutMs ?? BOOT_TIMEOUT_MS);
  const groups = cgroupPaths(host.cgroups, sandboxId);
  await acquire({ kind: 'cgroup', sandboxId, paths: groups }, async () => {
    await createCgroup(host.cgroups, groups, request.shape);
  });
  const process = await acquire({ kind: 'process', role: 'runsc', sandboxId }, () =>
    start(host, { hostMarker, sandboxId, directory, groups, memoryFile, ...paths }),
  );
  coming.watch('runsc', process);
  const carriers = await coming.carriers();
  const oomKills = (): number => cgroupOomKills(groups);
  return new MachineHandle({
    ...{ driver: 'gvisor', note: host.note, steered, carriers },
    machine: new ProcessMachine({ hostMarker, sandboxId, process, oomKills, explainEnd }),
    phasesMs: coming.phasesMs(),
    isHostDiskFull: async () => await isHostDiskFull(directory),
  });
}

function start(
  { flags, leash, runscPath }: Host,
  place: Pick<ProvisionRequest, 'sandboxId' | 'directory'> & {
    hostMarker: string;
    groups: readonly string[];
    memoryFile: string;
    bundle: string;
    state: string;
  },
): SupervisedProcess {
  const { hostMarker, sandboxId, directory, groups, memoryFile, bundle, state } = place;
  const runsc = [runscPath, `--root=${state}`, ...flags, 'run', `--bundle=${bundle}`, sandboxId];
  const inside = [...leash, ...memoryPrefix(memoryFile), ...runsc];
  const [command = runscPath, ...args] = [...cgroupPrefix(groups), ...inside];
  return superviseProcess({
    ...{ command, args, hostMarker, sandboxId, directory, environment: {} },
    // runsc gives its standard streams to nobody: were one the host's /dev/null, nobody would own that.
    input: '',
  });
}

/** /proc/meminfo as far as runsc reads it. */
const memoryOf = ({ memoryBytes }: ProvisionRequest['shape']): string =>
  `MemTotal: ${Math.floor(memoryBytes / 1024)} kB\n`;

/**
 * The sandbox's kernel says how much memory there is, and takes that from the host's file: in the mount
 * namespace of the leash another one lies over it, so that a job sees what it has, and not its host.
 */
const memoryPrefix = (memoryFile: string): string[] => {
  const script = 'mount --bind "$1" /proc/meminfo && shift && exec "$@"';
  return ['/bin/sh', '-e', '-c', script, 'sh', memoryFile];
};
