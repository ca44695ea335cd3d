/**
 * How an error crosses a border: a stable code, whether trying again can help, a sentence for
 * people, and places (error-body.ts). Each zone has one error class that implements `CodedError`.
 */
export interface CodedError extends Error {
  readonly code: string;
  readonly retryable: boolean;
}

/**
 * The whole chain of an error, outermost first, one message a line. Follows `cause`,
 * AggregateError and SuppressedError; a message that an outer one already contains is left out.
 */
export function explainError(error: unknown): string {
  const lines: string[] = [];
  const seen = new Set<unknown>();
  const visit = (value: unknown, indent: string): void => {
    if (value === undefined || value === null || seen.has(value) || lines.length >= 50) return;
    seen.add(value);
    if (!(value instanceof Error)) {
      lines.push(indent + (typeof value === 'string' ? value : JSON.stringify(value)));
      return;
    }
    if (value instanceof SuppressedError) {
      visit(value.error, indent);
      lines.push(`${indent}while cleaning up after:`);
      visit(value.suppressed, `${indent}  `);
      return;
    }
    const code = (value as Partial<CodedError>).code;
    const said = lines.some((line) => value.message !== '' && line.includes(value.message));
    if (!said) {
      const named = typeof code === 'string' && !value.message.includes(code);
      lines.push(indent + (value.message || value.name) + (named ? ` (${code})` : ''));
    }
    if (value instanceof AggregateError) for (const one of value.errors) visit(one, `${indent}  `);
    visit(value.cause, `${indent}  `);
  };
  visit(error, '');
  return lines.join('\n');
}
