/** The one reader of the user's environment. */
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';

export type Directories = {
  /** Database, repositories, objects, sockets, agent state. */
  data: string;
  /** Images and results of probes: may be deleted at any time. */
  cache: string;
};

/** For programs that are the user's own (git): their whole environment. */
export const userEnvironment = (): NodeJS.ProcessEnv => process.env;

export const environmentValue = (name: string): string | undefined => process.env[name];

/** `--data-dir`, else ONEJOB_DATA_DIR, else the XDG base directories. */
export function findDirectories(dataDirectory: string | undefined): Directories {
  const { env } = process;
  const data = dataDirectory ?? env['ONEJOB_DATA_DIR'];
  const dataHome = env['XDG_DATA_HOME'] ?? join(homedir(), '.local', 'share');
  const cacheHome = env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache');
  return {
    data: resolve(data ?? join(dataHome, 'onejob')),
    cache: resolve(env['ONEJOB_CACHE_DIR'] ?? join(cacheHome, 'onejob')),
  };
}

/** Colours and live redrawing only where somebody looks: https://no-color.org, and a terminal. */
export function terminalStyle(stream: NodeJS.WriteStream): { live: boolean; color: boolean } {
  const { env } = process;
  const live = stream.isTTY && env['TERM'] !== 'dumb';
  return { live, color: live && (env['NO_COLOR'] ?? '') === '' };
}
