/**
 * Which action a guest asks for. Its words become paths on the host and arguments of git, so
 * everything that is not plainly a name is refused.
 */
import { GUEST_PATHS } from '@onejob/protocol';

export type ActionReference = {
  /** Empty: of the default server. */
  server: string;
  owner: string;
  repository: string;
  ref: string;
  /** Whether only mirrors are asked for it. */
  isMirrorOnly: boolean;
};

const NAME = /^(?!\.{1,2}$)[\w.-]{1,100}$/;
const SERVER = /^(?!\.)[\w.-]{1,253}(?::\d{1,5})?$/;
/** What git allows in the name of a ref, never an option, never a path out of a directory. */
const REF =
  /^(?![-/.])(?!.*(?:\.\.|@\{|\/\/|\/\.|\.lock(?:\/|$)))[^\s~^:?*[\\\p{Cc}]{1,250}(?<![/.])$/u;
const FULL_SHA = /^[0-9a-f]{40}$/i;

/** undefined: not one. */
export function readActionReference(path: string): ActionReference | undefined {
  const query = path.startsWith(`${GUEST_PATHS.actions}?`)
    ? path.slice(GUEST_PATHS.actions.length + 1)
    : '';
  const values = new URLSearchParams(query);
  const value = (name: string): string => values.get(name) ?? '';
  const server = value('server');
  const owner = value('owner');
  const repository = value('repository');
  const ref = value('ref');
  const isOne =
    (server === '' || SERVER.test(server)) &&
    NAME.test(owner) &&
    NAME.test(repository) &&
    REF.test(ref);
  const isMirrorOnly = value('only') === 'mirrors';
  return isOne ? { server, owner, repository, ref, isMirrorOnly } : undefined;
}

/** Such a reference names content, and nothing else may take its place. */
export const isFullSha = (ref: string): boolean => FULL_SHA.test(ref);
