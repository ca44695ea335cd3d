/**
 * A Docker engine of the tests' own: its own data, sockets and control groups, in mount and PID
 * namespaces that take everything with them, and without a network. The machine's own engine, if it
 * has one, is never asked.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { accessSync, constants, existsSync } from 'node:fs';
import { mkdtemp, readdir, rm, rmdir, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

const PROGRAMS = ['dockerd', 'containerd', 'containerd-shim-runc-v2', 'runc', 'docker-init'];
const START_PATIENCE_MS = 30_000;
const REMOVE_PATIENCE_MS = 10_000;
const SEARCH_PATH = `${process.env['PATH'] ?? ''}:/usr/local/sbin:/usr/sbin:/sbin:/usr/bin:/bin`;

export type TestEngine = AsyncDisposable & { socketPath: string };

export function findProgram(name: string): string | undefined {
  return SEARCH_PATH.split(':')
    .filter((directory) => directory !== '')
    .map((directory) => join(directory, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK);
        return true;
      } catch {
        return false;
      }
    });
}

/** Undefined where an engine can run. */
export function whyNoEngine(): string | undefined {
  if (process.getuid?.() !== 0) return 'a container engine takes root to start';
  const missing = PROGRAMS.filter((name) => findProgram(name) === undefined);
  if (missing.length === 0) return undefined;
  return `not installed: ${missing.join(', ')} (apt-get install docker.io)`;
}

export async function startTestEngine(): Promise<TestEngine> {
  const directory = await mkdtemp(join(tmpdir(), 'onejob-engine-'));
  const socketPath = join(directory, 'engine.sock');
  const group = `onejob-test-${randomBytes(6).toString('hex')}`;
  await writeFile(join(directory, 'daemon.json'), '{}');
  const options = [
    ...[`--host=unix://${socketPath}`, `--data-root=${join(directory, 'data')}`],
    ...[`--exec-root=${join(directory, 'exec')}`, `--pidfile=${join(directory, 'pid')}`],
    ...[`--config-file=${join(directory, 'daemon.json')}`, `--cgroup-parent=/${group}`],
    ...['--bridge=none', '--iptables=false', '--ip6tables=false', '--ip-forward=false'],
    ...['--ip-masq=false', '--userland-proxy=false', '--log-level=warn'],
  ];
  const inside = `set -e; mount -t tmpfs tmpfs /run; mkdir /run/upper /run/work
    # it writes a key of its own to /etc/docker
    mount -t overlay overlay -o lowerdir=/etc,upperdir=/run/upper,workdir=/run/work /etc
    # and a directory of its own in /opt
    if [ -d /opt ]; then mount -t tmpfs tmpfs /opt; fi
    exec dockerd "$@"`;
  const namespaces = ['--mount', '--pid', '--fork', '--kill-child=KILL', '--mount-proc'];
  const words = ['--pdeathsig', 'KILL', '--', 'unshare', ...namespaces, 'sh', '-c', inside];
  const daemon = spawn('setpriv', [...words, 'sh', ...options], {
    env: { PATH: SEARCH_PATH, TMPDIR: directory },
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
  let said = '';
  daemon.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-8_000);
  });
  const exited = new Promise<void>((resolve) => daemon.once('exit', () => resolve()));
  const stop = async (): Promise<void> => {
    daemon.kill('SIGKILL');
    await exited;
    daemon.stderr.destroy();
    await removeGroups(group);
    await rm(directory, { recursive: true, force: true, maxRetries: 5 });
  };
  const deadline = performance.now() + START_PATIENCE_MS;
  for (;;) {
    if (await answers(socketPath)) return { socketPath, [Symbol.asyncDispose]: stop };
    if (daemon.exitCode !== null || performance.now() > deadline) {
      await stop();
      throw new Error(`The engine did not start:\n${said}`);
    }
    await sleep(50);
  }
}

const answers = async (socketPath: string): Promise<boolean> =>
  await new Promise((resolve) => {
    const ping = request({ socketPath, path: '/_ping' }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    ping.on('error', () => resolve(false)).end();
  });

/** Its control groups, wherever they are mounted, innermost first. */
async function removeGroups(group: string): Promise<void> {
  const mounts = '/sys/fs/cgroup';
  const names = await readdir(mounts).catch(() => []);
  const places = [mounts, ...names.map((name) => join(mounts, name))];
  for (const place of places) await removeTree(join(place, group));
}

async function removeTree(path: string): Promise<void> {
  if (!existsSync(path)) return;
  const entries = await readdir(path, { withFileTypes: true });
  for (const entry of entries) if (entry.isDirectory()) await removeTree(join(path, entry.name));
  const deadline = performance.now() + REMOVE_PATIENCE_MS;
  for (;;) {
    try {
      return await rmdir(path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      if (performance.now() > deadline) throw error;
      await sleep(20);
    }
  }
}
