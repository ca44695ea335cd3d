/** A Podman of the tests' own behind the API of Docker's engine, of which nothing is left afterwards. */
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { findProgram } from '@onejob/prove';
import type { TestEngine } from './container-engine.ts';

const PROGRAMS = ['podman', 'conmon', 'catatonit'];
/** Everything it starts is in namespaces that end with its first process, and that ends with us. */
const NAMESPACES = ['--mount', '--pid', '--fork', '--kill-child=KILL', '--mount-proc'];
const START_MS = 30_000;
const LOOK_MS = 100;
const SAID_CHARACTERS = 4000;

/** Undefined where it can run. */
export function whyNoPodman(): string | undefined {
  if (process.getuid?.() !== 0) return 'a container engine takes root to start';
  const missing = PROGRAMS.filter((name) => findProgram(name) === undefined);
  if (missing.length === 0) return undefined;
  return `not installed: ${missing.join(', ')} (apt-get install podman catatonit)`;
}

export async function startTestPodman(): Promise<TestEngine> {
  await using undo = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), 'onejob-podman-'));
  undo.defer(async () => await rm(directory, { recursive: true, force: true, maxRetries: 5 }));
  const socketPath = join(directory, 'engine.sock');
  const podman = [
    ...[
      'podman',
      `--root=${directory}/data`,
      `--runroot=${directory}/run`,
      `--tmpdir=${directory}`,
    ],
    ...['--cgroup-manager=cgroupfs', 'system', 'service', '--time=0', `unix://${socketPath}`],
  ];
  // It keeps locks, what it knows of networks and a cache of layers there.
  const script =
    'set -e; for d in /run /var/lib; do mount -t tmpfs -o mode=0755 tmpfs $d; done; exec "$@"';
  const words = ['--pdeathsig', 'KILL', '--', 'unshare', ...NAMESPACES, 'sh', '-c', script, 'sh'];
  const service = spawn('setpriv', [...words, ...podman], {
    // Where a container runs out of memory, its conmon leaves a file there.
    cwd: directory,
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { PATH: process.env['PATH'], HOME: directory, TMPDIR: directory },
    detached: true,
  });
  let said = '';
  service.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-SAID_CHARACTERS);
  });
  const exited = new Promise<void>((resolve) => service.once('exit', () => resolve()));
  undo.defer(async () => {
    service.kill('SIGKILL');
    await exited;
    service.stderr.destroy();
  });
  const deadline = performance.now() + START_MS;
  while (!(await answers(socketPath))) {
    if (service.exitCode !== null || performance.now() > deadline) {
      throw new Error(`Podman did not start:\n${said}`);
    }
    await sleep(LOOK_MS);
  }
  const owned = undo.move();
  return { socketPath, [Symbol.asyncDispose]: async () => await owned.disposeAsync() };
}

const answers = async (path: string): Promise<boolean> =>
  await new Promise((resolve) => {
    const socket = connect(path, () => {
      socket.destroy();
      resolve(true);
    });
    socket.on('error', () => resolve(false));
  });
