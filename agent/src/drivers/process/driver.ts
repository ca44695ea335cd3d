/**
 * The driver without isolation: the guest runner as an ordinary process of this host, for trusted
 * jobs and for tests. `auto` never chooses it.
 *
 * Where the host allows, the runner gets a PID namespace of its own, which is no wall but a leash:
 * when its first process dies, the kernel kills every other, whatever it forked or renamed.
 */
import { mkdir } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { listenForCarrier, type CarrierSocket } from '../../host/carrier-socket.ts';
import { pidNamespacePrefix } from '../../host/pid-namespace.ts';
import {
  superviseProcess,
  type ProcessExit,
  type SupervisedProcess,
} from '../../host/supervised-process.ts';
import { AgentError } from '../../errors.ts';
import type { DriverProbe, ProvisionRequest, SandboxDriver } from '../../sandbox/driver.ts';
import type { Acquisition } from '../../sandbox/journal.ts';
import type { ProvisionStack } from '../../sandbox/stack.ts';
import type { ProcessDriverConfig } from './config.ts';
import { ProcessHandle } from './handle.ts';

export function createProcessDriver(config: ProcessDriverConfig): SandboxDriver {
  let leash: Promise<readonly string[]> | undefined;
  return {
    name: 'process',
    probe: async () => probeResult(await (leash ??= pidNamespacePrefix())),
    provision: async (request, stack) =>
      await provision(config, await (leash ??= pidNamespacePrefix()), request, stack),
  };
}

function probeResult(leash: readonly string[]): DriverProbe {
  const note = 'no isolation: the job runs as a process of this host';
  return {
    works: true,
    ownKernel: false,
    auto: false,
    needsRoot: false,
    networkModes: ['link'],
    snapshot: false,
    freeze: false,
    note: leash.length > 0 ? note : `${note}, without a PID namespace (needs root)`,
  };
}

async function provision(
  config: ProcessDriverConfig,
  leash: readonly string[],
  request: ProvisionRequest,
  stack: ProvisionStack,
): Promise<ProcessHandle> {
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
  const sockets = { control: join(directory, 'control.sock'), bulk: join(directory, 'bulk.sock') };
  const listen = async (path: string): Promise<CarrierSocket> =>
    undo.use(await acquire({ kind: 'socket', path }, () => listenForCarrier(path, signal)));
  const control = await listen(sockets.control);
  const bulk = await listen(sockets.bulk);
  const process = await acquire({ kind: 'process', role: 'guest-runner', sandboxId }, () =>
    start(config, leash, request, { ...paths, ...sockets }),
  );
  void process.exited.then((exit) => failure.abort(endedEarly(process, exit)));
  const carriers = await bothOf(control.connected, bulk.connected);
  return new ProcessHandle({
    hostMarker: config.hostMarker,
    sandboxId,
    process,
    carriers,
    phasesMs: { provision: performance.now() - startedAt },
  });
}

type Paths = { work: string; home: string; control: string; bulk: string };

function start(
  config: ProcessDriverConfig,
  leash: readonly string[],
  request: ProvisionRequest,
  paths: Paths,
): SupervisedProcess {
  const words: string[] = [...leash, config.nodePath, request.guestRunnerPath];
  const [command = config.nodePath, ...args] = words;
  return superviseProcess({
    command,
    args,
    hostMarker: config.hostMarker,
    sandboxId: request.sandboxId,
    directory: paths.work,
    environment: {
      PATH: config.searchPath,
      HOME: paths.home,
      LANG: 'C.UTF-8',
      ONEJOB_CARRIER: 'unix',
      ONEJOB_CONTROL_SOCKET: paths.control,
      ONEJOB_BULK_SOCKET: paths.bulk,
      ONEJOB_WORK: paths.work,
    },
  });
}

/** Both connections, or neither is left open. */
async function bothOf(
  control: Promise<Socket>,
  bulk: Promise<Socket>,
): Promise<{ control: Socket; bulk: Socket }> {
  try {
    const [first, second] = await Promise.all([control, bulk]);
    return { control: first, bulk: second };
  } catch (error) {
    for (const one of [control, bulk]) {
      void one.then(
        (socket) => socket.destroy(),
        () => {},
      );
    }
    throw error;
  }
}

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
