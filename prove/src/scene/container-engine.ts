/**
 * A Docker engine beside the host's own: its own data, socket and control groups, in mount and PID
 * namespaces that take everything with them, and without a network. What runs in its containers runs
 * where the engine does, and an engine of a proof runs on the host of that proof.
 */
import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ENGINE_LOOK_MS, ENGINE_SAID_CHARACTERS, ENGINE_START_MS } from '../limits.ts';
import { removeTree } from './groups.ts';
import { TOOL_PATH } from './tools.ts';

const PROGRAMS = ['dockerd', 'containerd', 'containerd-shim-runc-v2', 'runc', 'docker-init'];
const CONTROL_GROUPS = '/sys/fs/cgroup';
/** Everything it starts is in namespaces that end with its first process, and that ends with us. */
const NAMESPACES = ['--mount', '--pid', '--fork', '--kill-child=KILL', '--mount-proc'];

const DATA = 'data';
/** In an engine's directory: a directory for each container, named by its id. */
export const CONTAINERS = join(DATA, 'containers');

export type ContainerEngine = AsyncDisposable & {
  readonly socketPath: string;
  /** All that it keeps is in there: images, and what containers write. */
  readonly directory: string;
};

/** Undefined where an engine can run. */
export function whyNoEngine(): string | undefined {
  if (process.getuid?.() !== 0) return 'a container engine takes root to start';
  const missing = PROGRAMS.filter((name) => findProgram(name) === undefined);
  if (missing.length === 0) return undefined;
  return `not installed: ${missing.join(', ')} (apt-get install docker.io)`;
}

/** In the system's directories, as who runs machines looks for them. */
export function findProgram(name: string): string | undefined {
  const paths = TOOL_PATH.split(':').map((directory) => join(directory, name));
  return paths.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/**
 * @param directory of its own, with a short path; whoever made it removes it
 * @param group its control groups' name, which is nobody else's
 * @param prepare lines of `sh -e`, in its mount namespace before it starts
 */
export async function startContainerEngine(options: {
  directory: string;
  group: string;
  prepare: string;
}): Promise<ContainerEngine> {
  const { directory, group, prepare } = options;
  const socketPath = join(directory, 'engine.sock');
  await writeFile(join(directory, 'daemon.json'), '{}');
  const flags = [
    ...[`--host=unix://${socketPath}`, `--data-root=${join(directory, DATA)}`],
    ...[`--exec-root=${join(directory, 'exec')}`, `--pidfile=${join(directory, 'pid')}`],
    ...[`--config-file=${join(directory, 'daemon.json')}`, `--cgroup-parent=/${group}`],
    ...['--bridge=none', '--iptables=false', '--ip6tables=false', '--ip-forward=false'],
    ...['--ip-masq=false', '--userland-proxy=false', '--log-level=warn'],
  ];
  const script = `set -e\n${prepare}\nexec dockerd "$@"`;
  const words = ['--pdeathsig', 'KILL', '--', 'unshare', ...NAMESPACES, 'sh', '-c', script, 'sh'];
  const daemon = spawn('setpriv', [...words, ...flags], {
    env: { PATH: TOOL_PATH, TMPDIR: directory },
    stdio: ['ignore', 'ignore', 'pipe'],
    detached: true,
  });
  let said = '';
  daemon.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-ENGINE_SAID_CHARACTERS);
  });
  const exited = new Promise<void>((resolve) => daemon.once('exit', () => resolve()));
  const stop = async (): Promise<void> => {
    daemon.kill('SIGKILL');
    await exited;
    daemon.stderr.destroy();
    await removeGroups(group);
  };
  const deadline = performance.now() + ENGINE_START_MS;
  for (;;) {
    if (await answers(socketPath)) return { socketPath, directory, [Symbol.asyncDispose]: stop };
    if (daemon.exitCode !== null || performance.now() > deadline) {
      await stop();
      throw new Error(`The container engine did not start:\n${said}`);
    }
    await sleep(ENGINE_LOOK_MS);
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

/** Wherever they are mounted, innermost first. */
async function removeGroups(group: string): Promise<void> {
  const names = await readdir(CONTROL_GROUPS).catch(() => []);
  const places = [CONTROL_GROUPS, ...names.map((name) => join(CONTROL_GROUPS, name))];
  for (const place of places) await removeTree(join(place, group));
}

/**
 * The engine of a proof: what is laid out in /run for attacks looks like another engine to it, and control
 * groups of version 2, where the host has no other, are where engines look for them.
 *
 * @param work of the proof, on a real disk: images are unpacked there
 */
export async function startEngineOfProof(work: string, mark: string): Promise<ContainerEngine> {
  const directory = join(work, 'engine');
  await mkdir(directory, { mode: 0o700 });
  return await startContainerEngine({ directory, group: `onejob-engine-${mark}`, prepare: APART });
}

const APART = `
  mount -t tmpfs -o mode=0755 tmpfs /run
  if [ "$(ls ${CONTROL_GROUPS} | grep -v onejob-prove)" = unified ]; then
    mount --bind ${CONTROL_GROUPS}/unified ${CONTROL_GROUPS}
  fi
`;
