/** Reads the entries of a mapping token by key. Keys that are expressions are not among them. */
import {
  isMapping,
  isSequence,
  isString,
} from '@actions/workflow-parser/templates/tokens/type-guards';
import type { ScalarToken } from '@actions/workflow-parser/templates/tokens/scalar-token';
import type { TemplateToken } from '@actions/workflow-parser/templates/tokens/index';

export type Entry = { key: ScalarToken; value: TemplateToken };

/** By key, in order; empty when the token is no mapping. */
export function entriesOf(token: TemplateToken | undefined): Map<string, Entry> {
  const entries = new Map<string, Entry>();
  if (token === undefined || !isMapping(token)) return entries;
  for (const { key, value } of token) {
    if (isString(key)) entries.set(key.value, { key, value });
  }
  return entries;
}

/** A scalar or a sequence of scalars as a list of texts; null when it is missing. */
export function textsOf(token: TemplateToken | undefined): string[] | null {
  if (token === undefined) return null;
  if (isSequence(token)) return Array.from(token, (item) => item.toString());
  return token.isScalar ? [token.toString()] : null;
}
