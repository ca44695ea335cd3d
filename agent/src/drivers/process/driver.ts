/**
 * The driver without isolation: the guest runner as an ordinary process of this host, for trusted
 * jobs (trust.ts) and for tests. `auto` never chooses it.
 *
 * Where the host allows, the runner gets a PID namespace of its own, which is no wall but a leash:
 * when its first process dies, the kernel kills every other, whatever it forked or renamed. And a
 * control group, which holds the shape's processors and memory. Its disk is the host's: no limit.
 */
import { chown, mkdir } from 'node:fs/promises';
import { basename, dirname, isAbsolute, join } from 'node:path';
import {
  cgroupOomKills,
  cgroupPaths,
  cgroupPrefix,
  createCgroup,
  findCgroups,
} from '../../host/cgroup.ts';
import { mayRunFrom } from '../../host/exec-allowed.ts';
import { inView, ownUserCommand, tryOwnUser } from '../../host/own-user.ts';
import { pidNamespacePrefix } from '../../host/pid-namespace.ts';
import { claimUser, takeUser } from '../../host/sandbox-user.ts';
import { superviseProcess, type SupervisedProcess } from '../../host/supervised-process.ts';
import { AgentError } from '../../errors.ts';
import type {
  DriverProbe,
  ProvisionRequest,
  SandboxDriver,
  SandboxHandle,
} from '../../sandbox/driver.ts';
import { ComingUp, LINK_SOCKETS } from '../../sandbox/coming-up.ts';
import { MachineHandle, ProcessMachine } from '../../sandbox/machine-handle.ts';
import { checkShape } from '../../sandbox/shape.ts';
import type { ProvisionStack } from '../../sandbox/stack.ts';
import { SHAPE_LIMITS, type ProcessDriverConfig } from './config.ts';
import { explainEnd } from './handle.ts';
import { checkTrust } from './trust.ts';

/** What of this host is used, found out once, by trying. */
type Host = {
  leash: readonly string[];
  cgroups: Awaited<ReturnType<typeof findCgroups>>;
  /** `none`: we are no root that could be another user, or are not to. */
  ownUser: 'works' | 'none' | { whyNot: string };
  /** PATH of the job's processes. */
  searchPath: string;
};

async function findHost({ settings, nodePath, searchPath }: ProcessDriverConfig): Promise<Host> {
  const isWanted = process.getuid?.() === 0 && settings.user !== 'agent';
  // What PATH calls relative, or leaves empty, is the directory somebody stands in.
  const directories = searchPath.split(':').filter(isAbsolute);
  const [leash, cgroups, tried] = await Promise.all([
    pidNamespacePrefix(),
    findCgroups(),
    isWanted ? tryOwnUser({ nodePath, directories }) : undefined,
  ]);
  const found = { leash, cgroups, searchPath: directories.join(':') };
  if (tried === undefined) return { ...found, ownUser: 'none' };
  if ('whyNot' in tried) return { ...found, ownUser: tried };
  return { ...found, ownUser: 'works', searchPath: tried.directories.join(':') };
}

/** Undefined: a job can be who it is to be. */
function whyNoUser({ ownUser }: Host): string | undefined {
  if (typeof ownUser === 'string') return undefined;
  return `As root onejob runs a job without isolation as a user of its own only, and that does not work here: ${ownUser.whyNot}. Run onejob as another user, or where it may mount and make namespaces. For jobs that you want to be root on this host: {"user": "agent"} in the file that ONEJOB_PROCESS_SETTINGS names (docs/drivers.md)`;
}

export function createProcessDriver(config: ProcessDriverConfig): SandboxDriver {
  let found: Promise<Host> | undefined;
  const host = async (): Promise<Host> => {
    found ??= findHost(config);
    return await found;
  };
  return {
    name: 'process',
    probe: async () => probeResult(await host()),
    provision: async (request, stack) => await provision(config, await host(), request, stack),
  };
}

function probeResult(host: Host): DriverProbe {
  const { leash, cgroups, ownUser } = host;
  const whyNot = whyNoUser(host);
  const notes = [
    'no isolation: the job runs as a process of this host',
    ...(ownUser === 'works' ? ['as a user of its own'] : []),
    ...(ownUser === 'none' && process.getuid?.() === 0 ? ['as root'] : []),
    ...(leash.length > 0 ? [] : ['without a PID namespace (this host refuses them to this user)']),
    'version' in cgroups
      ? 'its disk is not limited'
      : `its processors, memory and disk are not limited (${cgroups.whyNot})`,
  ];
  return {
    works: whyNot === undefined,
    ownKernel: false,
    bootsImage: false,
    auto: false,
    needsRoot: false,
    card: undefined,
    limits: 'version' in cgroups ? ['cpu', 'memory'] : [],
    snapshot: false,
    freeze: false,
    note: whyNot ?? notes.join(', '),
  };
}

/** Before anything of it is made. */
function refuse(config: ProcessDriverConfig, host: Host, request: ProvisionRequest): void {
  checkTrust(request.origin, config.settings);
  const whyNot = whyNoUser(host);
  if (whyNot !== undefined) throw new AgentError('driver_unavailable', `${whyNot}.`);
  checkShape(request.shape, SHAPE_LIMITS);
}

async function refuseExec({ settings }: ProcessDriverConfig, work: string): Promise<void> {
  if (settings.requireNoexec !== true || !(await mayRunFrom(work))) return;
  throw new AgentError(
    'invalid_configuration',
    `Programs can be run from ${work}, which requireNoexec of the process driver forbids: mount the file system of the data directory with noexec, or take the setting away.`,
  );
}

async function provision(
  config: ProcessDriverConfig,
  host: Host,
  request: ProvisionRequest,
  stack: ProvisionStack,
): Promise<SandboxHandle> {
  refuse(config, host, request);
  const { sandboxId, directory } = request;
  await using coming = new ComingUp(request, stack);
  const { signal, acquire } = coming;
  coming.setDeadline(config.bootTimeoutMs);
  const { hostMarker, users } = config;
  const claim = async (uid: number): Promise<boolean> =>
    await acquire({ kind: 'user', sandboxId, uid }, () =>
      claimUser(uid, { hostMarker, sandboxId }),
    );
  const uid = host.ownUser === 'works' ? await takeUser(users, claim) : undefined;
  const give = async (path: string): Promise<void> => {
    if (uid === undefined) return;
    await chown(path, uid, uid).catch((error: unknown) => {
      signal.throwIfAborted(); // which takes sockets away
      throw error;
    });
  };
  const paths = {
    work: join(directory, 'work'),
    home: join(directory, 'home'),
    ...(uid === undefined ? {} : { scratch: join(directory, 'scratch') }),
  };
  for (const path of Object.values(paths)) {
    await acquire({ kind: 'directory', path }, async () => await mkdir(path, { mode: 0o700 }));
    await give(path);
  }
  await refuseExec(config, paths.work);
  await coming.listen(directory);
  const sockets = {
    control: join(directory, LINK_SOCKETS.control),
    bulk: join(directory, LINK_SOCKETS.bulk),
  };
  for (const path of Object.values(sockets)) await give(path);
  const { cgroups } = host;
  const groups = 'version' in cgroups ? cgroupPaths(cgroups, sandboxId) : [];
  if ('version' in cgroups) {
    await acquire({ kind: 'cgroup', sandboxId, paths: groups }, async () => {
      await createCgroup(cgroups, groups, request.shape);
    });
  }
  const seen = seenBy(uid, { ...paths, ...sockets });
  const words = [...cgroupPrefix(groups), ...runnerWords(config, request, host, { uid, ...seen })];
  const process = await acquire({ kind: 'process', role: 'guest-runner', sandboxId }, () =>
    start(config, words, request, {
      ...seen,
      ...{ directory: paths.work, searchPath: host.searchPath },
    }),
  );
  coming.watch('The guest runner', process);
  const carriers = await coming.carriers();
  return new MachineHandle({
    driver: 'process',
    note: `a process of this host${uid === undefined ? '' : ', as a user of its own'}, no isolation`,
    machine: new ProcessMachine({
      ...{ hostMarker: config.hostMarker, sandboxId, process, explainEnd },
      oomKills: () => cgroupOomKills(groups),
    }),
    carriers,
    phasesMs: coming.phasesMs(),
    // Its disk is the host's: who filled it is not to be told.
    isHostDiskFull: async () => await Promise.resolve(false),
  });
}

type Paths = { work: string; home: string; control: string; bulk: string };

/** A user of its own does not get to the sandbox's directory, which is root's alone. */
const seenBy = (uid: number | undefined, host: Paths & { scratch?: string }) => ({
  host,
  seen:
    uid === undefined
      ? host
      : {
          ...{ work: inView('work'), home: inView('home') },
          ...{ control: inView('control.sock'), bulk: inView('bulk.sock') },
        },
});

/** The guest runner's command, on its leash. */
function runnerWords(
  { nodePath }: ProcessDriverConfig,
  { guestRunnerPath }: ProvisionRequest,
  { leash }: Host,
  { uid, host }: { uid: number | undefined } & ReturnType<typeof seenBy>,
): string[] {
  if (uid === undefined) return [...leash, nodePath, guestRunnerPath];
  return ownUserCommand({
    uid,
    home: inView('home'),
    bound: [
      { kind: 'directory', source: host.work, name: 'work' },
      { kind: 'directory', source: host.home, name: 'home' },
      { kind: 'file', source: host.control, name: 'control.sock' },
      { kind: 'file', source: host.bulk, name: 'bulk.sock' },
      { kind: 'file', source: nodePath, name: 'node' },
      // With it, the actions that come with it.
      { kind: 'directory', source: dirname(guestRunnerPath), name: 'runner' },
    ],
    scratch: host.scratch ?? host.home,
    command: [inView('node'), inView(`runner/${basename(guestRunnerPath)}`)],
  });
}

function start(
  config: ProcessDriverConfig,
  words: readonly string[],
  request: ProvisionRequest,
  { directory, seen, searchPath }: { directory: string; seen: Paths; searchPath: string },
): SupervisedProcess {
  const [command = config.nodePath, ...args] = words;
  return superviseProcess({
    command,
    args,
    hostMarker: config.hostMarker,
    sandboxId: request.sandboxId,
    directory,
    environment: {
      PATH: searchPath,
      HOME: seen.home,
      LANG: 'C.UTF-8',
      ONEJOB_CARRIER: 'unix',
      ONEJOB_CONTROL_SOCKET: seen.control,
      ONEJOB_BULK_SOCKET: seen.bulk,
      ONEJOB_WORK: seen.work,
    },
  });
}
