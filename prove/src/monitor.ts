/**
 * What a process of the host could do there, read from /proc without its help: which user it is, what it
 * may call, what it sees. Of a machine monitor that is what a guest has won which took it over.
 *
 * Each aspect compares with the looking process, which is the agent: what is the same is not confined.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { join } from 'node:path';
import type { Aspect } from './attack.ts';
import { HOST_PLACE } from './attacks/world.ts';
import { groupLimits, LIMITED } from './group-limits.ts';
import type { Observation } from './judge.ts';

export type Look = {
  pid: number;
  sandboxId: string;
  /** Of the platform: whose files the agent has open. */
  dataDirectory: string;
  /** Values that only the host knows, by name. */
  values: ReadonlyMap<string, string>;
};

const MEBIBYTE = 1024 * 1024;

const through = (seen: string) => ({ outcome: 'through' as const, seen });
const stopped = (seen: string) => ({ outcome: 'stopped' as const, seen });

/** A line of /proc/<pid>/status (proc(5)), its value. */
const status = (pid: number, name: string): string =>
  new RegExp(`^${name}:[ \\t]*(.*)$`, 'm').exec(read(`/proc/${pid}/status`))?.[1] ?? '';

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return ''; // gone meanwhile, or out of reach: nothing is shown by that
  }
}

function sameNamespace(pid: number, name: string): Extract<Observation, { seen: string }> {
  const of = (who: number | 'self'): string => {
    try {
      return readlinkSync(`/proc/${who}/ns/${name}`);
    } catch {
      return 'unknown';
    }
  };
  const seen = `its ${name} namespace is ${of(pid)}, the agent's is ${of('self')}`;
  return of(pid) === of('self') ? through(seen) : stopped(seen);
}

const ASPECT_LOOKS: Readonly<Record<Aspect, (look: Look) => Observation>> = {
  user: ({ pid }) => {
    const ids = [...status(pid, 'Uid').split(/\s+/), ...status(pid, 'Gid').split(/\s+/)];
    const own = [process.getuid?.(), process.getgid?.(), 0].map(String);
    const groups = status(pid, 'Groups').trim();
    const seen = `users and groups ${[...new Set(ids)].join(', ')}; others: ${groups || 'none'}`;
    return ids.some((id) => own.includes(id)) ? through(seen) : stopped(seen);
  },
  capabilities: ({ pid }) => {
    const sets = ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'].map((name) => ({
      name,
      value: status(pid, name),
    }));
    const some = sets.filter(({ value }) => !/^0+$/.test(value));
    if (some.length === 0) return stopped('it has none, and can get none');
    const seen = some.map(({ name, value }) => `${name} ${value}`).join(', ');
    // They count for what belongs to that namespace (user_namespaces(7)).
    const user = sameNamespace(pid, 'user');
    return user.outcome === 'through' ? through(seen) : stopped(`${seen}, of no use: ${user.seen}`);
  },
  privileges: ({ pid }) =>
    status(pid, 'NoNewPrivs') === '1'
      ? stopped('a program it starts gets no new ones')
      : through('a program it starts may get new ones'),
  // That there is a filter, and not what it lets through.
  calls: ({ pid }) =>
    status(pid, 'Seccomp') === '2'
      ? stopped(`${status(pid, 'Seccomp_filters') || 'some'} filters of system calls`)
      : through('no filter of system calls'),
  files: ({ pid, values }) => {
    const value = values.get('file');
    const found = read(`/proc/${pid}/root${HOST_PLACE}/file`);
    if (value !== undefined && found.includes(value)) return through(`it saw ${value}`);
    return stopped('the file is not in its root directory');
  },
  descriptors: ({ pid, sandboxId, dataDirectory }) => {
    const sockets = platformSockets(dataDirectory);
    const open = descriptorsOf(pid)
      .map((target) => sockets.get(target) ?? target)
      .filter((path) => path.startsWith(`${dataDirectory}/`) && !path.includes(sandboxId));
    if (open.length > 0) return through(`it has ${open.slice(0, 3).join(', ')} open`);
    return stopped("none of the platform's files and sockets is open");
  },
  network: ({ pid }) => sameNamespace(pid, 'net'),
  processes: ({ pid }) => sameNamespace(pid, 'pid'),
  memory: ({ pid }) => sameNamespace(pid, 'ipc'),
  limits: ({ pid }) => {
    const limits = groupLimits(pid);
    const missing = LIMITED.filter((kind) => !limits.has(kind));
    if (missing.length > 0) return through(`its groups have no limit of ${missing.join(', ')}`);
    const [bytes = 0, cpu, pids] = LIMITED.map((kind) => limits.get(kind));
    const memory = `${Math.round(bytes / MEBIBYTE)} MiB of memory`;
    return stopped(`its groups limit it to ${memory}, a quota of ${cpu} µs, ${pids} threads`);
  },
  environment: ({ pid, values }) => {
    const value = values.get('agent');
    const isThere = value !== undefined && read(`/proc/${pid}/environ`).includes(value);
    return isThere ? through(`it has ${value}`) : stopped('the value is not in it');
  },
};

/** One that ends meanwhile shows no more than that: most of what is looked for is not there then. */
export function lookAt(aspect: Aspect, look: Look): Observation {
  const before = birthOf(look.pid);
  const seen = ASPECT_LOOKS[aspect](look);
  const isThere = before !== undefined && birthOf(look.pid) === before;
  return isThere
    ? seen
    : { outcome: 'not tried', why: 'its process ended before it was looked at' };
}

/** When a process was started, in ticks: its number alone may be another's soon. Undefined: it has ended. */
function birthOf(pid: number): string | undefined {
  // Behind the name, which may hold anything (proc(5), /proc/[pid]/stat): the state is field 3, the start 22.
  const fields = read(`/proc/${pid}/stat`).split(') ').at(-1)?.split(' ') ?? [];
  return ['Z', 'X', ''].includes(fields[0] ?? '') ? undefined : fields[19];
}

/** From a descriptor's target to the path that its socket has: `socket:[4711]` to `.../api.sock`. */
function platformSockets(dataDirectory: string): Map<string, string> {
  const lines = read('/proc/self/net/unix').split('\n');
  return new Map(
    lines.flatMap((line): [string, string][] => {
      const [, , , , , , inode = '', path = ''] = line.split(/\s+/);
      return path.startsWith(`${dataDirectory}/`) ? [[`socket:[${inode}]`, path]] : [];
    }),
  );
}

function descriptorsOf(pid: number): string[] {
  const directory = `/proc/${pid}/fd`;
  return namesIn(directory).flatMap((fd) => {
    try {
      return [readlinkSync(join(directory, fd))];
    } catch {
      return []; // the one that the directory itself was read with, say
    }
  });
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}

/** Start a sandbox's first program and wait for it, or watch its network; no guest runs in them. */
const HELPERS = /^(sh|unshare|setpriv|mount|umount|env|prlimit|nsenter|conntrack|runsc)$/;
/** The kernel of a sandbox of gVisor's, as runsc names the process it is; it keeps no environment. */
const GVISOR_KERNEL = 'runsc-sandbox\0';

/**
 * Processes that a sandbox runs in: those that carry its name, and are no helper and no child of
 * another one of them. Where there is a kernel of gVisor's, that alone.
 */
export function findMonitors(sandboxId: string): number[] {
  const all = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  const kernels = all.filter((pid) => {
    const words = read(`/proc/${pid}/cmdline`);
    return words.startsWith(GVISOR_KERNEL) && words.includes(sandboxId);
  });
  if (kernels.length > 0) return kernels.map(Number);
  const carrying = all
    .filter((pid) => read(`/proc/${pid}/environ`).includes(sandboxId))
    .filter((pid) => !HELPERS.test(read(`/proc/${pid}/comm`).trim()))
    .map(Number);
  return carrying.filter((pid) => !carrying.includes(Number(status(pid, 'PPid'))));
}
