/**
 * The inputs of actions/checkout: which are done and which are refused. The plan asks it of what is
 * written out in the file, before a machine is spent; the guest asks again of every value. Pure, and
 * without the parser: the guest loads it.
 */
import type { Template } from '@onejob/protocol';

const DONE = [
  'repository',
  'ref',
  'token',
  'path',
  'clean',
  'fetch-depth',
  'fetch-tags',
  'show-progress',
  'persist-credentials',
  'set-safe-directory',
];
/** Not done, but these values ask for nothing. */
const HARMLESS: Record<string, string[]> = {
  submodules: ['', 'false'],
  lfs: ['', 'false'],
  filter: [''],
  'sparse-checkout': [''],
  'sparse-checkout-cone-mode': ['', 'true', 'false'],
  'ssh-key': [''],
  'ssh-known-hosts': [''],
  'ssh-strict': ['', 'true', 'false'],
  'ssh-user': ['', 'git'],
  'github-server-url': [''],
};

/**
 * Inputs of a `with:` whose value is written out, by name in lower case; one with an expression is
 * known when it runs.
 */
export function literalInputs(template: Template): Map<string, string> {
  const literals = new Map<string, string>();
  if (template === null || typeof template !== 'object' || !('map' in template)) return literals;
  for (const entry of template.map) {
    if ('insert' in entry || typeof entry.key !== 'string') continue;
    const { value } = entry;
    if (value !== null && typeof value === 'object') continue;
    literals.set(entry.key.toLowerCase(), value === null ? '' : String(value));
  }
  return literals;
}

/**
 * What is wrong with these inputs (names in lower case, values as text); undefined: nothing.
 * @param own names of the run's own repository, the first for people
 */
export function checkCheckoutInputs(
  inputs: ReadonlyMap<string, string>,
  own: readonly [string, ...string[]],
): string | undefined {
  for (const [name, value] of inputs) {
    const harmless = Object.hasOwn(HARMLESS, name) ? HARMLESS[name] : undefined;
    if (harmless?.includes(value.toLowerCase())) continue;
    if (harmless) return `the input '${name}' is not supported yet.`;
    if (!DONE.includes(name)) return `it has no input '${name}'.`;
  }
  const repository = inputs.get('repository') ?? '';
  if (repository !== '' && !own.some((name) => name.toLowerCase() === repository.toLowerCase())) {
    return `the input 'repository' is '${repository}'; only the run's own (${own[0]}) is supported yet.`;
  }
  return undefined;
}
