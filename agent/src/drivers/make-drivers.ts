/** The drivers of a configuration, strongest first; nothing is tried yet. */
import { dirname } from 'node:path';
import type { CompleteAgentConfig } from '../config/config.ts';
import type { SandboxDriver } from '../sandbox/driver.ts';
import { createDockerDriver } from './docker/driver.ts';
import { createFirecrackerDriver } from './firecracker/driver.ts';
import { createGvisorDriver } from './gvisor/driver.ts';
import { PROCESS_BOOT_TIMEOUT_MS } from './process/config.ts';
import { createProcessDriver } from './process/driver.ts';
import { createQemuDriver } from './qemu/driver.ts';

/** @throws AgentError `invalid_configuration`: settings of the docker driver are refused */
export function makeDrivers(config: CompleteAgentConfig): SandboxDriver[] {
  const makers = {
    qemu: (): SandboxDriver =>
      createQemuDriver({
        hostMarker: config.hostMarker,
        cacheDirectory: config.cacheDirectory,
        settings: config.qemu,
        users: config.sandboxUsers,
        useSnapshots: config.snapshots,
        obeyingDevice: config.obeyingDevice,
        ...(config.bootTimeoutMs === undefined ? {} : { bootTimeoutMs: config.bootTimeoutMs }),
      }),
    firecracker: (): SandboxDriver =>
      createFirecrackerDriver({
        hostMarker: config.hostMarker,
        cacheDirectory: config.cacheDirectory,
        settings: config.firecracker,
        users: config.sandboxUsers,
        bootTimeoutMs: config.bootTimeoutMs,
      }),
    gvisor: (): SandboxDriver =>
      createGvisorDriver({
        hostMarker: config.hostMarker,
        cacheDirectory: config.cacheDirectory,
        bootTimeoutMs: config.bootTimeoutMs,
      }),
    docker: (): SandboxDriver =>
      createDockerDriver({
        hostMarker: config.hostMarker,
        cacheDirectory: config.cacheDirectory,
        nodePath: process.execPath,
        ownDirectories: ownDirectories(config),
        settings: config.docker,
        bootTimeoutMs: config.bootTimeoutMs,
      }),
    process: (): SandboxDriver =>
      createProcessDriver({
        hostMarker: config.hostMarker,
        nodePath: process.execPath,
        searchPath: config.searchPath,
        bootTimeoutMs: config.bootTimeoutMs ?? PROCESS_BOOT_TIMEOUT_MS,
        settings: config.process,
        users: config.sandboxUsers,
      }),
  };
  return config.drivers.map((name) => makers[name]());
}

/** Of this agent, and where the control plane that it serves has its socket. */
const ownDirectories = (config: CompleteAgentConfig): string[] => [
  ...[config.stateDirectory, config.cacheDirectory],
  ...(config.controlPlaneSocketPath === '' ? [] : [dirname(config.controlPlaneSocketPath)]),
];
