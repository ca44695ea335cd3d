/**
 * The host that is attacked: everything an attack looks for is there, with values nobody else knows,
 * and what an attack would change is noticed. Set only in the namespaces of the proof
 * (namespaces.ts), with which it goes.
 */
import { readdirSync, readFileSync, statfsSync, statSync } from 'node:fs';
import { chmod, mkdir, open, readdir, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { NetworkMode } from '@onejob/protocol';
import { settingChange } from '../attacks/kernel.ts';
import { BELIEVED_CHANGE, FOREIGN_CARD } from '../attacks/spoofing.ts';
import {
  addKey,
  FILE_FLOOD,
  HOST_PLACE,
  IPC_KEY,
  KEYS,
  REAL_PROC,
  removeKey,
  STAND_INS,
} from '../attacks/world.ts';
import {
  COUNT_MS,
  HELD_CONNECTIONS,
  KEY_SECONDS,
  LARGE_FILE_GIB,
  MANY_FILES,
  MANY_PROCESSES,
} from '../limits.ts';
import { listenOnHostSockets, writeHostFiles } from './host-places.ts';
import { openHostNetwork, type HostNetwork } from './host-network.ts';
import type { Arrival } from './listeners.ts';
import { runScript, startLasting, tryScript } from './tools.ts';
import { makeValues, valueOf, type Values } from './values.ts';
import { checkWalls } from './walls.ts';

const GIBIBYTE = 1024 ** 3;
const CGROUPS = '/sys/fs/cgroup';

/** What a try did to the host. */
export type Effects = {
  arrivals: Arrival[];
  /** Changes, with what the host found. */
  changes: Map<string, string>;
};

export type Scene = AsyncDisposable & {
  readonly values: Values;
  readonly proxy: string;
  /** Everything is as before the first try; what `mark` does is noticed from here on. */
  begin(mark: string): Promise<void>;
  effects(): Promise<Effects>;
};

/**
 * @param mark of the namespaces; anywhere else nothing is set
 * @param options what the machines under proof have of a network; a place on the disk of their files
 */
export async function setScene(
  mark: string,
  agentValue: string,
  { network, work }: { network: NetworkMode; work: string },
): Promise<Scene> {
  checkWalls(mark);
  await using undo = new AsyncDisposableStack();
  const values = makeValues(agentValue);
  undo.defer(removeKeys);
  await writeHostFiles(values);
  await listenOnHostSockets(values);
  const hostNetwork = undo.use(
    await openHostNetwork({
      forwards: network === 'nat',
      listener: valueOf(values, 'listener'),
      traffic: valueOf(values, 'traffic'),
    }),
  );
  const canary = undo.use(await startCanary(values));
  const processes = undo.use(watchPeak(countProcesses));
  const disk = undo.use(watchPeak(() => usedBytes(work)));
  let current = '';
  const owned = undo.move();
  return {
    values,
    proxy: hostNetwork.proxy,
    begin: async (next) => {
      current = next;
      await hostNetwork.take();
      await restore(values, canary.pid);
      processes.restart();
      disk.restart();
    },
    effects: async () =>
      await readEffects(hostNetwork, { mark: current, canary: canary.pid, processes, disk }),
    [Symbol.asyncDispose]: async () => await owned.disposeAsync(),
  };
}

/** A process with a value in its name, one in its environment, and one in a deleted file. */
async function startCanary(values: Values) {
  const directory = join(HOST_PLACE, 'canary');
  await mkdir(directory, { recursive: true });
  const path = join(directory, 'canary-file');
  await writeFile(path, `${valueOf(values, 'descriptor')}\n`);
  await using file = await open(path, 'r');
  await rm(path);
  return await startLasting('sleep', ['86400'], {
    argv0: valueOf(values, 'canary'),
    environment: { CANARY: valueOf(values, 'environment') },
    descriptor: file.fd,
  });
}

/** Everything that a try may have changed, as it was. */
async function restore(values: Values, canary: number): Promise<void> {
  await writeFile(join(HOST_PLACE, 'appended'), 'the host\n');
  await rm(join(HOST_PLACE, 'written'), { force: true });
  await writeFile('/proc/sys/kernel/hostname', valueOf(values, 'hostname'));
  await writeFile('/proc/sys/kernel/domainname', '(none)');
  await writeFile('/proc/sys/net/ipv4/tcp_keepalive_probes', '9');
  await writeFile('/proc/sys/kernel/shmmni', '4096');
  await writeFile(`/proc/${canary}/oom_score_adj`, '0');
  await chmod('/dev/full', 0o666);
  await rm(FILE_FLOOD, { recursive: true, force: true });
  await rm(MODULE_FILE, { force: true });
  for (const path of await standIns()) await writeFile(path, '');
  await tryScript('ip route del blackhole 192.0.2.77/32');
  await fillMemory(valueOf(values, 'memory'), valueOf(values, 'queue'));
  await tryScript(addKey(KEYS.host, valueOf(values, 'key'), KEY_SECONDS));
}

/** Keys have no namespace of their own: they are the real host's. */
async function removeKeys(): Promise<void> {
  for (const name of Object.values(KEYS)) await tryScript(removeKey(name));
}

/** System V shared memory and a message; what was there goes first. */
async function fillMemory(shared: string, message: string): Promise<void> {
  await runScript(`perl -e '
    my $old = shmget(${IPC_KEY}, 0, 0);
    my $id = defined $old ? $old : shmget(${IPC_KEY}, 64, 01600);
    shmwrite($id, "${shared}", 0, 64) or die $!;
    $old = msgget(${IPC_KEY}, 0);
    msgctl($old, 0, 0) if defined $old;
    $id = msgget(${IPC_KEY}, 01600);
    msgsnd($id, pack("l! a*", 1, "${message}"), 04000) or die $!;'`);
}

type Peak = Disposable & { restart(): void; more(): number };

const countProcesses = (): number =>
  readdirSync('/proc').filter((name) => /^\d+$/.test(name)).length;

/** Of the whole disk that holds a path. */
function usedBytes(path: string): number {
  const { blocks, bfree, bsize } = statfsSync(path);
  return (blocks - bfree) * bsize;
}

/** The most there was of something beyond the least there was before: others give some back meanwhile. */
function watchPeak(count: () => number): Peak {
  let least = count();
  let most = 0;
  const look = (): void => {
    const now = count();
    least = Math.min(least, now);
    most = Math.max(most, now - least);
  };
  const timer = setInterval(look, COUNT_MS);
  return {
    restart: () => {
      least = count();
      most = 0;
    },
    more: () => most,
    [Symbol.dispose]: () => clearInterval(timer),
  };
}

type Watched = { mark: string; canary: number; processes: Peak; disk: Peak };

async function readEffects(network: HostNetwork, watched: Watched): Promise<Effects> {
  const { mark, canary, processes, disk } = watched;
  const { arrivals, peak } = await network.take();
  const read = (path: string): string => readOr(path).trim();
  const changes = new Map<string, string>();
  const note = (name: string, isChanged: boolean, found: string): void => {
    if (isChanged) changes.set(name, found);
  };
  const written = read(join(HOST_PLACE, 'written'));
  note('written', written.includes(mark), `its file is there: ${written}`);
  note('appended', read(join(HOST_PLACE, 'appended')).includes(mark), 'its line is there');
  note('process-setting', read(`/proc/${canary}/oom_score_adj`) === '321', 'its value is set');
  note('hostname', read('/proc/sys/kernel/hostname') === 'prove-renamed', 'it has its name');
  note('domainname', read('/proc/sys/kernel/domainname').includes(mark), 'it has its domain');
  note('network-setting', read('/proc/sys/net/ipv4/tcp_keepalive_probes') === '7', 'it is set');
  note('memory-setting', read('/proc/sys/kernel/shmmni') === '77', 'it is set');
  const mode = (statSync('/dev/full').mode & 0o777).toString(8);
  const files = (await readdir(FILE_FLOOD).catch(() => [])).length;
  note('files', files >= MANY_FILES, `it has ${files} files more`);
  note('module-file', read(MODULE_FILE).includes(mark), 'its file is there');
  for (const [name, found] of await readSettings(mark)) note(name, true, found);
  note('device', mode !== '666', `its mode is ${mode}`);
  const route = await tryScript('ip route show 192.0.2.77');
  note('route', route.trim() !== '', `it is there: ${route.trim()}`);
  const groups = await takeGroups(`onejob-prove-${mark}`);
  note('cgroup', groups.length > 0, `it is there: ${groups.join(', ')}`);
  const believed = (await network.neighbours())
    .split('\n')
    .filter((line) => line.includes(FOREIGN_CARD));
  note(BELIEVED_CHANGE, believed.length > 0, `a neighbour believes it: ${believed.join(', ')}`);
  const more = processes.more();
  note('processes', more >= MANY_PROCESSES, `it had ${more} processes more`);
  const gibibytes = Math.round(disk.more() / GIBIBYTE);
  note('disk', gibibytes >= LARGE_FILE_GIB, `its disk had ${gibibytes} GiB more`);
  note('connections', peak >= HELD_CONNECTIONS, `${peak} were open at the same time`);
  return { arrivals, changes };
}

const MODULE_FILE = '/etc/modules-load.d/onejob-prove.conf';

/** Those that the real host has a setting for. */
async function standIns(): Promise<string[]> {
  const areThere = await Promise.all(
    STAND_INS.map(async (path) => (await stat(path).catch(() => undefined))?.isFile() === true),
  );
  return STAND_INS.filter((_, index) => areThere[index]);
}

/** Settings with the mark in them, in the stand-in or on the real host. */
async function readSettings(mark: string): Promise<[name: string, found: string][]> {
  const found: [string, string][] = [];
  for (const path of await standIns()) {
    const name = settingChange(path.replace('/onejob-prove/', '/*/'));
    const real = readOr(path.replace(/^\/proc\//, `${REAL_PROC}/`));
    if (path.startsWith('/proc/') && real.includes(mark))
      found.push([name, `THE REAL ONE: ${real}`]);
    else if (readOr(path).includes(mark)) found.push([name, `its stand-in has: ${readOr(path)}`]);
  }
  return found;
}

/** Control groups that a try made, and removes them. */
async function takeGroups(name: string): Promise<string[]> {
  const below = await readdir(CGROUPS).catch(() => []);
  const found: string[] = [];
  for (const directory of [CGROUPS, ...below.map((one) => join(CGROUPS, one))]) {
    await rmdir(join(directory, name)).then(
      () => found.push(join(directory, name)),
      () => {},
    );
  }
  return found;
}

function readOr(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
