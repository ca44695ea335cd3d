/**
 * The driver without isolation: the guest runner as an ordinary process of this host, for trusted
 * jobs (trust.ts) and for tests. `auto` never chooses it.
 *
 * Where the host allows, the runner gets a PID namespace of its own, which is no wall but a leash:
 * when its first process dies, the kernel kills every other, whatever it forked or renamed. And a
 * control group, which holds the shape's processors and memory. Its disk is the host's: no limit.
 */
import { mkdir } from 'node:fs/promises';
import { isAbsolute, join } from 'node:path';
import {
  cgroupOomKills,
  cgroupPaths,
  cgroupPrefix,
  createCgroup,
  findCgroups,
} from '../../host/cgroup.ts';
import { bothCarriers, listenForCarrier, type CarrierSocket } from '../../host/carrier-socket.ts';
import { mayRunFrom } from '../../host/exec-allowed.ts';
import { pidNamespacePrefix } from '../../host/pid-namespace.ts';
import {
  superviseProcess,
  type ProcessExit,
  type SupervisedProcess,
} from '../../host/supervised-process.ts';
import { AgentError } from '../../errors.ts';
import type { DriverProbe, ProvisionRequest, SandboxDriver } from '../../sandbox/driver.ts';
import type { Acquisition } from '../../sandbox/journal.ts';
import { checkShape } from '../../sandbox/shape.ts';
import type { ProvisionStack } from '../../sandbox/stack.ts';
import { SHAPE_LIMITS, type ProcessDriverConfig } from './config.ts';
import { ProcessHandle } from './handle.ts';
import { checkTrust } from './trust.ts';

/** What of this host is used, found out once, by trying. */
type Host = {
  leash: readonly string[];
  cgroups: Awaited<ReturnType<typeof findCgroups>>;
};

export function createProcessDriver(config: ProcessDriverConfig): SandboxDriver {
  let found: Promise<Host> | undefined;
  const host = async (): Promise<Host> => {
    found ??= Promise.all([pidNamespacePrefix(), findCgroups()]).then(([leash, cgroups]) => ({
      leash,
      cgroups,
    }));
    return await found;
  };
  return {
    name: 'process',
    probe: async () => probeResult(await host()),
    provision: async (request, stack) => await provision(config, await host(), request, stack),
  };
}

function probeResult({ leash, cgroups }: Host): DriverProbe {
  const notes = [
    'no isolation: the job runs as a process of this host',
    ...(leash.length > 0 ? [] : ['without a PID namespace (this host refuses them to this user)']),
    'version' in cgroups
      ? 'its disk is not limited'
      : `its processors, memory and disk are not limited (${cgroups.whyNot})`,
  ];
  return {
    works: true,
    ownKernel: false,
    bootsImage: false,
    auto: false,
    needsRoot: false,
    networkModes: ['link'],
    limits: 'version' in cgroups ? ['cpu', 'memory'] : [],
    snapshot: false,
    freeze: false,
    note: notes.join(', '),
  };
}

async function provision(
  config: ProcessDriverConfig,
  host: Host,
  request: ProvisionRequest,
  stack: ProvisionStack,
): Promise<ProcessHandle> {
  checkTrust(request.origin, config.settings);
  checkShape(request.shape, SHAPE_LIMITS);
  const startedAt = performance.now();
  const { sandboxId, directory } = request;
  const failure = new AbortController();
  const signal = AbortSignal.any([request.signal, failure.signal]);
  const timer = setTimeout(() => failure.abort(tooLate(config)), config.bootTimeoutMs);
  await using undo = new AsyncDisposableStack();
  undo.defer(() => clearTimeout(timer));
  const acquire = async <T>(what: Acquisition, make: () => T | Promise<T>): Promise<T> => {
    signal.throwIfAborted();
    return await stack.acquire(what, make);
  };
  const paths = { work: join(directory, 'work'), home: join(directory, 'home') };
  for (const path of [paths.work, paths.home]) {
    await acquire({ kind: 'directory', path }, async () => await mkdir(path));
  }
  if (config.settings.requireNoexec === true && (await mayRunFrom(paths.work))) {
    throw new AgentError(
      'invalid_configuration',
      `Programs can be run from ${paths.work}, which requireNoexec of the process driver forbids: mount the file system of the data directory with noexec, or take the setting away.`,
    );
  }
  const sockets = { control: join(directory, 'control.sock'), bulk: join(directory, 'bulk.sock') };
  const listen = async (path: string): Promise<CarrierSocket> =>
    undo.use(await acquire({ kind: 'socket', path }, () => listenForCarrier(path, signal)));
  const control = await listen(sockets.control);
  const bulk = await listen(sockets.bulk);
  const { cgroups } = host;
  const groups = 'version' in cgroups ? cgroupPaths(cgroups, sandboxId) : [];
  if ('version' in cgroups) {
    await acquire({ kind: 'cgroup', sandboxId, paths: groups }, async () => {
      await createCgroup(cgroups, groups, request.shape);
    });
  }
  const prefix = [...cgroupPrefix(groups), ...host.leash];
  const process = await acquire({ kind: 'process', role: 'guest-runner', sandboxId }, () =>
    start(config, prefix, request, { ...paths, ...sockets }),
  );
  void process.exited.then((exit) => failure.abort(endedEarly(process, exit)));
  const carriers = await bothCarriers(control.connected, bulk.connected);
  return new ProcessHandle({
    hostMarker: config.hostMarker,
    sandboxId,
    process,
    carriers,
    oomKills: () => cgroupOomKills(groups),
    phasesMs: { provision: performance.now() - startedAt },
  });
}

type Paths = { work: string; home: string; control: string; bulk: string };

function start(
  config: ProcessDriverConfig,
  prefix: readonly string[],
  request: ProvisionRequest,
  paths: Paths,
): SupervisedProcess {
  const words: string[] = [...prefix, config.nodePath, request.guestRunnerPath];
  const [command = config.nodePath, ...args] = words;
  return superviseProcess({
    command,
    args,
    hostMarker: config.hostMarker,
    sandboxId: request.sandboxId,
    directory: paths.work,
    environment: {
      PATH: absoluteOnly(config.searchPath),
      HOME: paths.home,
      LANG: 'C.UTF-8',
      ONEJOB_CARRIER: 'unix',
      ONEJOB_CONTROL_SOCKET: paths.control,
      ONEJOB_BULK_SOCKET: paths.bulk,
      ONEJOB_WORK: paths.work,
    },
  });
}

/** What PATH calls relative, or leaves empty, is the directory somebody stands in. */
const absoluteOnly = (path: string): string => path.split(':').filter(isAbsolute).join(':');

const tooLate = ({ bootTimeoutMs }: ProcessDriverConfig): AgentError =>
  new AgentError(
    'boot_timeout',
    `The guest runner did not connect to its agent in ${bootTimeoutMs} ms.`,
  );

const endedEarly = (process: SupervisedProcess, exit: ProcessExit): AgentError =>
  new AgentError(
    'boot_failed',
    `The guest runner ended (exit ${exit.code ?? exit.signal}) before it connected. It said:\n${process.tail().trim() || '(nothing)'}`,
  );
