/** Looks into a template that is a mapping written out in the file. */
import type { Template } from '@onejob/protocol';

/** The value under a key; undefined: there is none, or no mapping. */
export function entryOf(template: Template, key: string): Template | undefined {
  if (template === null || typeof template !== 'object' || !('map' in template)) return undefined;
  const entry = template.map.find((one) => 'key' in one && one.key === key);
  return entry !== undefined && 'value' in entry ? entry.value : undefined;
}
