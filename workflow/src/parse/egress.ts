/** What an `env` says of `ONEJOB_EGRESS`: its text, and where it stands. */
import { isString } from '@actions/workflow-parser/templates/tokens/type-guards';
import type { TemplateToken } from '@actions/workflow-parser/templates/tokens/index';
import { EGRESS_KEY } from '@onejob/protocol/egress';
import type { EgressEntry } from '../model.ts';
import { entriesOf } from './mapping.ts';
import type { Problems } from './problems.ts';

/** @param env the value of the key `env` */
export function egressEntry(
  problems: Problems,
  env: TemplateToken | undefined,
): { egress?: EgressEntry } {
  const entry = entriesOf(env).get(EGRESS_KEY);
  if (entry === undefined) return {};
  const text = isString(entry.value) ? entry.value.value : null;
  return { egress: { text, at: problems.at(entry.key) } };
}
