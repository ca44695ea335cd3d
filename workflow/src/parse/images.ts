/**
 * Finds images that are `docker://` and nothing more: GitHub refuses those that are written out, and
 * takes one that an expression gives as none.
 */
import { TemplateToken } from '@actions/workflow-parser/templates/tokens/template-token';
import { type Entry, entriesOf } from './mapping.ts';
import type { Problems } from './problems.ts';

const hasExpression = (token: TemplateToken): boolean =>
  Array.from(TemplateToken.traverse(token)).some(([, inner]) => inner.isExpression);

function checkImage(problems: Problems, container: TemplateToken): void {
  if (hasExpression(container)) return;
  const image = container.isScalar ? container : entriesOf(container).get('image')?.value;
  if (image?.toString() !== 'docker://') return;
  problems.add(problems.at(container), 'Container image cannot be empty');
}

/** @param job its entries */
export function checkImages(problems: Problems, job: ReadonlyMap<string, Entry>): void {
  const container = job.get('container')?.value;
  if (container !== undefined) checkImage(problems, container);
  const services = job.get('services')?.value;
  if (services === undefined || hasExpression(services)) return;
  for (const { value } of entriesOf(services).values()) checkImage(problems, value);
}
