/**
 * `duplicate-entry`: a list names the same thing twice: a need, a label, a filter's pattern, a value
 * of a matrix (which then makes the same leg twice).
 */
import { keysOf, valueOf } from '../declared.ts';
import type { Found, LintInput, Rule } from '../finding.ts';
import type { Path } from '../places.ts';

const FILTERS = ['branches', 'tags', 'paths'].flatMap((name) => [name, `${name}-ignore`]);

export const duplicateEntry: Rule = {
  name: 'duplicate-entry',
  check: (input) => {
    const { workflow } = input;
    const triggers = workflow.triggers.flatMap(({ event }) =>
      [...FILTERS, 'types', 'workflows'].map((key): Path => ['on', event, key]),
    );
    const jobs = workflow.jobs.flatMap(({ key, strategy }): Path[] => {
      const matrix = valueOf(strategy, 'matrix');
      const vectors = (keysOf(matrix) ?? []).filter(
        (one) => one !== 'include' && one !== 'exclude',
      );
      return [
        ['jobs', key, 'needs'],
        ['jobs', key, 'runs-on'],
        ...vectors.map((vector): Path => ['jobs', key, 'strategy', 'matrix', vector]),
      ];
    });
    return [...triggers, ...jobs].flatMap((path) => duplicates(input, path));
  },
};

function duplicates({ places }: LintInput, path: Path): Found[] {
  const items = places.items(path);
  // After a pattern with `!` the same pattern again says something.
  if (items.some(({ text }) => text.startsWith('!'))) return [];
  const seen = new Set<string>();
  return items.flatMap(({ text, at }): Found[] => {
    if (!seen.has(text)) {
      seen.add(text);
      return [];
    }
    const message = `'${text}' is in \`${path.at(-1)}\` twice; leave one out`;
    return [{ at, severity: 'warning', message }];
  });
}
