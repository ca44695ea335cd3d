/**
 * The OCI runtime bundle of a sandbox (runtime-spec 1.0: config.json): the guest image read-only, the
 * carriers' directory, the guest runner behind a first process that reaps, and nothing of the host
 * else.
 */
import { MACHINE, type SandboxId } from '@onejob/protocol';
import { HOST_VARIABLE, SANDBOX_VARIABLE } from '../../host/processes.ts';
import { CAPABILITIES, LINK_DIRECTORY, OPEN_FILES, STEERING_CAPABILITIES } from './config.ts';

/** Leads connections to the guest runner and gives up what that takes (image/src/guest/steer.c). */
export const STEER = '/opt/onejob/steer';

export function ociConfig(options: {
  hostMarker: string;
  sandboxId: SandboxId;
  rootPath: string;
  /** Directory of this host with the carriers' sockets and nothing else. */
  linkDirectory: string;
  /** The image has STEER. */
  steered: boolean;
}): Record<string, unknown> {
  const capabilities = [...CAPABILITIES, ...(options.steered ? STEERING_CAPABILITIES : [])];
  return {
    ociVersion: '1.0.0',
    hostname: 'onejob',
    root: { path: options.rootPath, readonly: false },
    process: {
      user: { uid: 0, gid: 0 },
      args: [
        ...(options.steered ? [STEER, 'run', String(MACHINE.steering.port)] : []),
        // A shell first: it is what a signal of a job to the runner's parent reaches, and no signal ends it.
        ...['/bin/sh', '-c', '/usr/local/bin/node /opt/onejob/start-runner.cjs; exit $?'],
      ],
      env: [
        'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
        ...['HOME=/root', 'LANG=C.UTF-8', 'ONEJOB_CARRIER=unix'],
        `ONEJOB_CONTROL_SOCKET=${LINK_DIRECTORY}/control.sock`,
        `ONEJOB_BULK_SOCKET=${LINK_DIRECTORY}/bulk.sock`,
        `ONEJOB_WORK=${MACHINE.workDirectory}`,
        ...[`${SANDBOX_VARIABLE}=${options.sandboxId}`, `${HOST_VARIABLE}=${options.hostMarker}`],
      ],
      cwd: '/',
      noNewPrivileges: false,
      capabilities: {
        ...{ bounding: capabilities, effective: capabilities, permitted: capabilities },
        ...{ inheritable: [], ambient: [] },
      },
      rlimits: [
        { type: 'RLIMIT_NOFILE', soft: OPEN_FILES, hard: OPEN_FILES },
        { type: 'RLIMIT_CORE', soft: 0, hard: 0 },
      ],
    },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc' },
      { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['nosuid', 'noexec'] },
      { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['ro', 'nosuid', 'noexec'] },
      { destination: '/tmp', type: 'tmpfs', source: 'tmpfs', options: ['mode=1777'] },
      { destination: MACHINE.workDirectory, type: 'tmpfs', source: 'tmpfs', options: [] },
      {
        ...{ destination: LINK_DIRECTORY, type: 'bind', source: options.linkDirectory },
        options: ['bind', 'ro', 'nosuid', 'nodev', 'noexec'],
      },
    ],
    linux: {
      namespaces: ['pid', 'ipc', 'uts', 'mount', 'network'].map((type) => ({ type })),
    },
  };
}
