/**
 * What of an operator's settings for containers is refused. Each refusal begins with the name of its
 * rule in brackets, names the value and says what to do; all of them are told at once.
 *
 * Pure but for `resolveLink`, by which a test can show what a link does.
 */
import { isIP } from 'node:net';
import { isAbsolute, normalize } from 'node:path';
import { AgentError } from '../../errors.ts';
import {
  BASE_CAPABILITIES,
  DENIED_HOST_PATHS,
  DENIED_TARGETS,
  OPTIONAL_CAPABILITIES,
  OWN_REPOSITORY,
  RUNTIMES,
  type DockerSettings,
  type SharedCache,
} from './config.ts';

export type CheckedSettings = {
  runtime: string | undefined;
  capabilities: string[];
  /** Sources are what their links led to. */
  caches: SharedCache[];
  /** undefined: those that fit the container's network. */
  dns: string[] | undefined;
};

export type HostPlaces = {
  /** Where a path of the host leads; throws where there is nothing. */
  resolveLink: (path: string) => string;
  mountPoints: () => readonly string[];
  /** Denied like DENIED_HOST_PATHS. */
  ownDirectories: readonly string[];
};

/** `~`: a path of letters and separators only, so what is compared is what is mounted. */
const PLAIN_PATH = /^\/[\w.@+~/-]*$/;
const MOST_CACHES = 32;
const MOST_NAME_SERVERS = 3;

/** Throws `invalid_configuration`, naming the rule of every value that is refused. */
export function checkSettings(settings: DockerSettings, host: HostPlaces): CheckedSettings {
  const { caches = [], capabilities = [], dns, runtime, socketPath } = settings;
  const refusals: string[] = [
    ...(socketPath === undefined || isAbsolute(socketPath)
      ? []
      : [`[socket-absolute] ${socketPath}: the engine's socket is an absolute path`]),
    ...(runtime === undefined || RUNTIMES.includes(runtime)
      ? []
      : [`[runtime-known] ${runtime}: choose one of ${RUNTIMES.join(', ')}`]),
    ...capabilities.flatMap(refuseCapability),
    ...(dns === undefined ? [] : refuseDns(dns)),
    ...(caches.length > MOST_CACHES
      ? [`[cache-count] ${caches.length} shared caches: at most ${MOST_CACHES}`]
      : []),
    ...refuseTargets(caches.map(({ target }) => target)),
  ];
  const denied = deniedPaths(settings, host);
  const resolved = caches.flatMap(({ source, target }) => {
    const found = checkSource(source, denied, host);
    if ('path' in found) return [{ source: found.path, target: withoutSlash(normalize(target)) }];
    refusals.push(found.refusal);
    return [];
  });
  if (refusals.length > 0) {
    throw new AgentError(
      'invalid_configuration',
      `These settings of the docker driver are refused:\n${refusals.map((one) => `  ${one}.`).join('\n')}`,
    );
  }
  return {
    runtime,
    capabilities: [...new Set([...Object.keys(BASE_CAPABILITIES), ...capabilities])],
    caches: resolved,
    dns: dns === undefined ? undefined : [...dns],
  };
}

function refuseCapability(name: string): string[] {
  if (Object.hasOwn(BASE_CAPABILITIES, name) || Object.hasOwn(OPTIONAL_CAPABILITIES, name)) {
    return [];
  }
  const known = Object.keys(OPTIONAL_CAPABILITIES).join(', ');
  return [`[capability-optional] ${name}: only these can be given beside the usual ones: ${known}`];
}

function refuseDns(servers: readonly string[]): string[] {
  const wrong = servers.filter((one) => isIP(one) === 0);
  return [
    ...wrong.map((one) => `[dns-address] ${one}: a name server is an IP address`),
    ...(servers.length === 0 || servers.length > MOST_NAME_SERVERS
      ? [`[dns-count] ${servers.length} name servers: 1 to ${MOST_NAME_SERVERS}`]
      : []),
  ];
}

function refuseTargets(targets: readonly string[]): string[] {
  const taken: string[] = [];
  return targets.flatMap((target) => {
    if (!isAbsolute(target)) {
      return [`[target-absolute] ${target}: a place in the sandbox is an absolute path`];
    }
    if (!PLAIN_PATH.test(target) || target.split('/').includes('..')) {
      return [`[target-plain] ${target}: letters, digits and . @ + ~ - _ only, and no ".."`];
    }
    const path = withoutSlash(normalize(target));
    const denied = DENIED_TARGETS.find((one) => one !== '/' && overlaps(path, one));
    if (path === '/' || denied !== undefined) {
      return [`[target-denied] ${target}: it would hide ${denied ?? '/'} of the sandbox`];
    }
    const other = taken.find((one) => overlaps(path, one));
    taken.push(path);
    return other === undefined
      ? []
      : [`[target-duplicate] ${target}: another cache is at ${other}; each needs its own place`];
  });
}

/** As they are written and as they are. */
function deniedPaths(
  { socketPath }: DockerSettings,
  { ownDirectories, resolveLink }: HostPlaces,
): string[] {
  const own = [...ownDirectories, ...(socketPath === undefined ? [] : [socketPath])];
  const resolved = own.map((path) => {
    try {
      return resolveLink(path);
    } catch {
      return path; // it is not there yet
    }
  });
  return [...DENIED_HOST_PATHS, ...[...own, ...resolved].map(withoutSlash)];
}

function checkSource(
  source: string,
  deniedHere: readonly string[],
  { resolveLink, mountPoints }: HostPlaces,
): { path: string } | { refusal: string } {
  if (!isAbsolute(source)) {
    return { refusal: `[source-absolute] ${source}: a directory of the host is an absolute path` };
  }
  if (!PLAIN_PATH.test(source)) {
    return { refusal: `[source-plain] ${source}: letters, digits and . @ + ~ - _ only` };
  }
  let path: string;
  try {
    path = withoutSlash(resolveLink(source));
  } catch (error) {
    const { code = String(error) } = error as NodeJS.ErrnoException;
    return { refusal: `[source-there] ${source}: cannot be found (${code}); make it first` };
  }
  // As it is written and as it is: a link may go, and what it hid would be there at the next start.
  for (const seen of [withoutSlash(normalize(source)), path]) {
    const denied =
      seen === '/' ? '/' : deniedHere.find((one) => one !== '/' && overlaps(seen, one));
    if (denied === undefined) continue;
    const way = seen === source ? source : `${source}, which is ${seen}`;
    return { refusal: `[source-denied] ${way}: ${denied} is the host's own; share another one` };
  }
  const mount = mountPoints().find((one) => one.startsWith(`${path}/`));
  if (mount === undefined) return { path };
  return {
    refusal: `[source-mounts] ${source}: ${mount} is a mount of its own, and what it leads to would be shared, too; share directories without mounts in them`,
  };
}

/** True for the same place, and where one is in the other. */
const overlaps = (a: string, b: string): boolean =>
  a === b || a.startsWith(`${b}/`) || b.startsWith(`${a}/`);

const withoutSlash = (path: string): string => (path.length > 1 ? path.replace(/\/+$/, '') : path);

/** Throws `invalid_configuration` for an image that no glob of the operator's allows. */
export function checkImageName(name: string, allowed: readonly string[] | undefined): void {
  if (!/^[a-z0-9][\w./:@-]{0,254}$/i.test(name)) {
    throw new AgentError('invalid_configuration', `[image-name] ${name} is no name of an image.`);
  }
  const globs = allowed ?? [`${OWN_REPOSITORY}:*`];
  if (globs.some((glob) => matchesGlob(name, glob))) return;
  throw new AgentError(
    'invalid_configuration',
    `[image-allowed] The image ${name} is not among the allowed ones (${globs.join(', ') || 'none'}). Add it to allowedImages, or take another.`,
  );
}

/** `*` is any part of a name, slashes too; all else is itself. */
function matchesGlob(name: string, glob: string): boolean {
  const [first = '', ...rest] = glob.split('*');
  if (rest.length === 0) return name === glob;
  const last = rest.pop() ?? '';
  if (name.length < first.length + last.length) return false;
  if (!name.startsWith(first) || !name.endsWith(last)) return false;
  const end = name.length - last.length;
  let at = first.length;
  for (const part of rest) {
    const found = name.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return true;
}
