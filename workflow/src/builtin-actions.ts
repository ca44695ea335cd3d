/**
 * Which actions onejob does itself, by the names GitHub's own have. Pure, and without the parser: the
 * guest loads it.
 */
import type { UsesStep } from '@onejob/protocol';

const BUILTIN_ACTIONS = [
  'cache',
  'cache/restore',
  'cache/save',
  'checkout',
  'setup-node',
  'upload-artifact',
  'download-artifact',
] as const;

/** Repository and path of an action of the owner `actions`. */
export type BuiltinAction = (typeof BUILTIN_ACTIONS)[number];

const FULL_SHA = /^[0-9a-f]{40}$/i;

/**
 * Undefined: onejob has none of its own for it. One that is named by a full SHA is that commit and
 * nothing else; any other ref of an action means the same implementation.
 */
export function builtinAction({ action }: UsesStep): BuiltinAction | undefined {
  if (action.kind !== 'repository' || action.owner.toLowerCase() !== 'actions') return undefined;
  if (FULL_SHA.test(action.ref)) return undefined;
  const name = [action.repository.toLowerCase(), action.path].filter((one) => one !== '').join('/');
  return BUILTIN_ACTIONS.find((one) => one === name);
}
