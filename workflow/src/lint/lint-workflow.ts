/**
 * Looks through one workflow file: what GitHub refuses about it, then, where that is nothing, what each
 * rule finds. Pure: rules see the file and nothing else, and say only what is sure from it.
 */
import { FINDINGS_PER_FILE } from '../limits.ts';
import { parseWorkflow } from '../parse/workflow.ts';
import type { Finding, Rule } from './finding.ts';
import { Places } from './places.ts';
import { constantCondition } from './rules/constant-condition.ts';
import { duplicateEntry } from './rules/duplicate-entry.ts';
import { expressionType } from './rules/expression-type.ts';
import { scriptInjection } from './rules/script-injection.ts';
import { unknownName } from './rules/unknown-name.ts';
import { unknownShell } from './rules/unknown-shell.ts';
import { unpinnedAction } from './rules/unpinned-action.ts';
import { sitesOf } from './sites.ts';

export type { Finding, Severity } from './finding.ts';

/** What the parser refuses: YAML, GitHub's schema, expressions, `needs`. */
const INVALID = 'invalid-workflow';

const RULES: readonly Rule[] = [
  constantCondition,
  duplicateEntry,
  expressionType,
  scriptInjection,
  unknownName,
  unknownShell,
  unpinnedAction,
];

/** Names of all rules, as docs/lint.md lists them. */
export const RULE_NAMES: readonly string[] = [INVALID, ...RULES.map(({ name }) => name)].toSorted();

/** In the order of the file. */
export function lintWorkflow(source: { file: string; text: string }): Finding[] {
  const { file } = source;
  const parsed = parseWorkflow(source);
  if (!parsed.ok) {
    return parsed.problems.map((problem) => ({ ...problem, severity: 'error', rule: INVALID }));
  }
  const { workflow } = parsed;
  const text = source.text.startsWith('\uFEFF') ? source.text.slice(1) : source.text;
  const places = new Places(text);
  const input = { workflow, places, sites: sitesOf(workflow, places) };
  const found = RULES.flatMap(({ name, check }) =>
    check(input).map(({ at, severity, message }) => ({
      file,
      ...at,
      severity,
      message,
      rule: name,
    })),
  );
  return distinct(found)
    .toSorted((a, b) => a.line - b.line || a.column - b.column)
    .slice(0, FINDINGS_PER_FILE);
}

/** An expression may read the same thing twice; it is said once. */
function distinct(findings: readonly Finding[]): Finding[] {
  const seen = new Set<string>();
  return findings.filter(({ line, column, message }) => {
    const key = `${line}:${column}:${message}`;
    return !seen.has(key) && seen.add(key);
  });
}
