/** The one reader of the user's environment. */
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';

export type Directories = {
  /** Database, repositories, objects, sockets, agent state. */
  data: string;
  /** Images and results of probes: may be deleted at any time. */
  cache: string;
};

/** For programs that are the user's own (git): their whole environment. */
export const userEnvironment = (): NodeJS.ProcessEnv => process.env;

export const environmentValue = (name: string): string | undefined => process.env[name];

/**
 * `--data-dir`, else ONEJOB_DATA_DIR, else the XDG base directories. Empty variables count as unset,
 * and so do relative XDG ones (XDG Base Directory Specification 0.8).
 */
export function findDirectories(dataDirectory: string | undefined): Directories {
  const home = (name: string, otherwise: string): string => {
    const value = variable(name);
    return value !== undefined && isAbsolute(value) ? value : join(homedir(), otherwise);
  };
  const data = dataDirectory ?? variable('ONEJOB_DATA_DIR');
  const cache = variable('ONEJOB_CACHE_DIR');
  return {
    data: resolve(data ?? join(home('XDG_DATA_HOME', '.local/share'), 'onejob')),
    cache: resolve(cache ?? join(home('XDG_CACHE_HOME', '.cache'), 'onejob')),
  };
}

function variable(name: string): string | undefined {
  const value = process.env[name];
  return value === '' ? undefined : value;
}

/** Colours and live redrawing only where somebody looks: https://no-color.org, and a terminal. */
export function terminalStyle(stream: NodeJS.WriteStream): { live: boolean; color: boolean } {
  const { env } = process;
  const live = stream.isTTY && env['TERM'] !== 'dumb';
  return { live, color: live && (env['NO_COLOR'] ?? '') === '' };
}
