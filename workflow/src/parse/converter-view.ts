/**
 * A file's tokens as the converters of `@actions/workflow-parser` take them. They are made for editors
 * and refuse some of what GitHub runs; those parts are left out for them here and read by us:
 * `env` of a job or a step that one expression gives, the inputs of `workflow_dispatch`, whose
 * defaults need not be of the input's type, and what Gitea and Forgejo add to containers, which
 * GitHub's schema has refused before.
 */
import { MappingToken } from '@actions/workflow-parser/templates/tokens/mapping-token';
import { SequenceToken } from '@actions/workflow-parser/templates/tokens/sequence-token';
import { isMapping, isSequence } from '@actions/workflow-parser/templates/tokens/type-guards';
import type { KeyValuePair, TemplateToken } from '@actions/workflow-parser/templates/tokens/index';

/** The same mapping with other values; undefined: without the entry. */
function mapped(
  mapping: MappingToken,
  value: (name: string, entry: KeyValuePair) => TemplateToken | undefined,
): MappingToken {
  const result = new MappingToken(mapping.file, mapping.range, mapping.definitionInfo);
  for (const entry of mapping) {
    const changed = value(entry.key.toString(), entry);
    if (changed !== undefined) result.add(entry.key, changed);
  }
  return result;
}

const withoutEnvExpression = (mapping: MappingToken): MappingToken =>
  mapped(mapping, (name, { value }) => (name === 'env' && value.isExpression ? undefined : value));

/** Keys of containers in `dialect.ts`; services of GitHub have an `entrypoint`, too. */
const CONTAINER_KEYS: ReadonlySet<string> = new Set(['cmd', 'entrypoint', 'init', 'tty']);
const SERVICE_KEYS: ReadonlySet<string> = new Set(['cmd']);

const without = (token: TemplateToken, keys: ReadonlySet<string>): TemplateToken =>
  isMapping(token)
    ? mapped(token, (name, { value }) => (keys.has(name) ? undefined : value))
    : token;

export function jobForConverter(job: MappingToken): MappingToken {
  return mapped(withoutEnvExpression(job), (name, { value }) => {
    if (name === 'container') return without(value, CONTAINER_KEYS);
    if (name === 'services' && isMapping(value)) {
      return mapped(value, (_, service) => without(service.value, SERVICE_KEYS));
    }
    if (name !== 'steps' || !isSequence(value)) return value;
    const steps = new SequenceToken(value.file, value.range, value.definitionInfo);
    for (const step of value) steps.add(isMapping(step) ? withoutEnvExpression(step) : step);
    return steps;
  });
}

/** `on:`, where every event may have more to say than its name. */
export function triggersForConverter(on: TemplateToken): TemplateToken {
  if (!isMapping(on)) return on;
  return mapped(on, (event, { value }) =>
    event === 'workflow_dispatch' && isMapping(value)
      ? mapped(value, (name, entry) => (name === 'inputs' ? undefined : entry.value))
      : value,
  );
}
