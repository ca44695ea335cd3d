/** The one reader of the user's environment. */
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import { BUILTIN_POLICIES, type BuiltinPolicy } from '@onejob/protocol';
import { CliError } from '../errors.ts';

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

export type ActionSettings = {
  actionMirrors: string[];
  /** None: nothing is fetched over the network. */
  actionsUrls: string[];
  /** By owner, in lower case: the one server that has its repositories. */
  actionOwners: ReadonlyMap<string, string>;
  builtinActions: BuiltinPolicy;
};

/**
 * Where actions come from: ONEJOB_ACTION_MIRRORS (directories with `:` between), ONEJOB_ACTIONS_URL
 * (addresses with spaces between, the first for other repositories of checkouts too; `owner=address`:
 * what that owner has comes from there alone; `none`: nowhere) and ONEJOB_BUILTIN_ACTIONS. Those that are not set are left out.
 * @throws CliError `usage`, naming the variable
 */
export function actionSettings(): Partial<ActionSettings> {
  const settings: Partial<ActionSettings> = {};
  const mirrors =
    variable('ONEJOB_ACTION_MIRRORS')
      ?.split(':')
      .filter((one) => one !== '') ?? [];
  const missing = mirrors.find((one) => !isAbsolute(one) || !existsSync(one));
  if (missing !== undefined) {
    throw new CliError(
      'usage',
      `ONEJOB_ACTION_MIRRORS names ${missing}: an absolute path of a directory that exists was expected.`,
    );
  }
  if (mirrors.length > 0) settings.actionMirrors = mirrors;
  const urls = variable('ONEJOB_ACTIONS_URL');
  if (urls !== undefined) Object.assign(settings, readActionsUrls(urls));
  const builtin = variable('ONEJOB_BUILTIN_ACTIONS');
  const policy = BUILTIN_POLICIES.find((one) => one === builtin);
  if (builtin !== undefined && policy === undefined) {
    throw new CliError(
      'usage',
      `ONEJOB_BUILTIN_ACTIONS is ${builtin}: one of ${BUILTIN_POLICIES.join(', ')} was expected.`,
    );
  }
  if (policy !== undefined) settings.builtinActions = policy;
  return settings;
}

function readActionsUrls(text: string): Pick<ActionSettings, 'actionsUrls' | 'actionOwners'> {
  const actionsUrls: string[] = [];
  const actionOwners = new Map<string, string>();
  if (text === 'none') return { actionsUrls, actionOwners };
  for (const entry of text.trim().split(/\s+/)) {
    const [, owner, address] = /^(?:([\w.-]{1,100})=)?(https?:\/\/[^@?#]+)$/.exec(entry) ?? [];
    const name = owner?.toLowerCase();
    if (address === undefined || !URL.canParse(address)) throw wrongActionsUrl();
    const url = address.replace(/\/+$/, '');
    if (name === undefined) {
      actionsUrls.push(url);
      continue;
    }
    if (actionOwners.has(name)) {
      const message = `ONEJOB_ACTIONS_URL names two servers of the owner ${name}: one was expected.`;
      throw new CliError('usage', message);
    }
    actionOwners.set(name, url);
  }
  return { actionsUrls, actionOwners };
}

/** What was given is not shown: there may be a password in it. */
function wrongActionsUrl(): CliError {
  return new CliError(
    'usage',
    'ONEJOB_ACTIONS_URL is wrong: none, or http(s) addresses without a user, with spaces between, was expected; with owner= before it, an address has the repositories of that owner alone.',
  );
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
