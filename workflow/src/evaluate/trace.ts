/**
 * Tells how one expression was evaluated, in the words of GitHub's debug logging: the expression, each
 * part with its value, the expression with its values put in, and the result.
 *
 *     Evaluating: (success() && (github.ref == 'a'))
 *     Evaluating And:
 *     ..Evaluating success:
 *     ..=> true
 *     ..Evaluating Equal:
 *     ....                                      and so on
 *     => false
 *     Expanded: (true && ('b' == 'a'))
 *     Result: false
 *
 * Promises: every value is masked before a quote in it is doubled, and every line again; at most
 * TRACE_CHARACTERS are told. Source: `ExpressionNode.cs` and `EvaluationResult.cs` of its runner.
 * Functions are written as the documentation does, contexts in lower case, whatever the file says.
 */
import type { CompareOperator, ExprNode, Json } from '@onejob/protocol';
import { TRACE_CHARACTERS } from './limits.ts';
import { isPrimitive, toText } from './values.ts';

/** Where a trace goes. */
export type Trace = {
  /** A line; may hold line ends. */
  tell(line: string): void;
  /** Hides what nobody may see. */
  mask(text: string): string;
};

type Several = Extract<ExprNode, { kind: 'and' | 'or' }>;
type Place = Extract<ExprNode, { kind: 'index' | 'wildcard' }>;

const COMPARISONS: Record<CompareOperator, string> = {
  '==': 'Equal',
  '!=': 'NotEqual',
  '<': 'LessThan',
  '<=': 'LessThanOrEqual',
  '>': 'GreaterThan',
  '>=': 'GreaterThanOrEqual',
};

/** Of those that are not in lower case. */
const FUNCTION_NAMES: ReadonlyMap<string, string> = new Map(
  ['endsWith', 'fromJSON', 'hashFiles', 'startsWith', 'toJSON'].map((name) => [
    name.toLowerCase(),
    name,
  ]),
);
const functionName = (name: string): string => FUNCTION_NAMES.get(name) ?? name;

/** A key that is written behind a dot. */
const PLAIN_KEY = /^[a-zA-Z_][\w-]*$/;

function kindOf(value: Json): string {
  if (value === null) return 'Null';
  if (Array.isArray(value)) return 'Array';
  const type = typeof value;
  return type.slice(0, 1).toUpperCase() + type.slice(1);
}

function format(value: Json, mask: (text: string) => string): string {
  if (value === null) return 'null';
  if (typeof value === 'string') return `'${mask(value).replaceAll("'", "''")}'`;
  return mask(toText(value));
}

const asWritten = (value: Json): string => format(value, (text) => text);

function nameOf(node: ExprNode): string {
  switch (node.kind) {
    case 'literal':
      return kindOf(node.value);
    case 'special':
      return 'Number';
    case 'context':
      return node.name;
    case 'call':
      return functionName(node.name);
    case 'index':
    case 'wildcard':
      return 'Index';
    case 'not':
      return 'Not';
    case 'and':
      return 'And';
    case 'or':
      return 'Or';
    case 'compare':
      return COMPARISONS[node.op];
  }
}

/** `a && (b && c)` has three parts. */
const partsOf = (node: Several): ExprNode[] =>
  node.all.flatMap((part) => (part.kind === node.kind ? partsOf(part) : [part]));

/** The text of a node from those of its parts. */
function compose(
  node: ExprNode,
  of: (part: ExprNode) => string,
  place: (node: Place) => string,
): string {
  switch (node.kind) {
    case 'literal':
      return asWritten(node.value);
    case 'special':
    case 'context':
      return node.kind === 'special' ? node.value : node.name;
    case 'call':
      return `${functionName(node.name)}(${node.args.map(of).join(', ')})`;
    case 'index':
    case 'wildcard':
      return place(node);
    case 'not':
      return `!${of(node.of)}`;
    case 'and':
    case 'or':
      return `(${partsOf(node)
        .map(of)
        .join(node.kind === 'and' ? ' && ' : ' || ')})`;
    case 'compare':
      return `(${of(node.left)} ${node.op} ${of(node.right)})`;
  }
}

function expressionText(node: ExprNode): string {
  return compose(node, expressionText, (one) => {
    const of = expressionText(one.of);
    if (one.kind === 'wildcard') return `${of}[*]`;
    const { key } = one;
    const isPlain =
      key.kind === 'literal' && typeof key.value === 'string' && PLAIN_KEY.test(key.value);
    return isPlain ? `${of}.${String(key.value)}` : `${of}[${expressionText(key)}]`;
  });
}

/** What is in the expanded text by its value, not by its parts' values. */
const isRealized = (node: ExprNode): boolean =>
  ['call', 'context', 'index', 'wildcard'].includes(node.kind);

export class ExpressionTracer {
  private readonly trace: Trace;
  private readonly values = new Map<ExprNode, string>();
  private readonly around: ExprNode[] = [];
  private level = 0;
  private left = TRACE_CHARACTERS;
  /** Of the part that was evaluated last. */
  private last: Json = null;

  constructor(trace: Trace) {
    this.trace = trace;
  }

  begin(node: ExprNode): void {
    this.tell(`Evaluating: ${expressionText(node)}`);
  }

  enter(node: ExprNode): void {
    if (!this.isPartOfSame(node)) {
      this.tellPart(`Evaluating ${nameOf(node)}:`);
      this.level++;
    }
    this.around.push(node);
  }

  leave(node: ExprNode, value: Json): void {
    this.around.pop();
    if (node.kind === 'wildcard' && !isPrimitive(this.last)) {
      this.tellPart('Evaluating Wildcard:');
      this.tellPart("=> '*'");
    }
    this.last = value;
    if (this.isPartOfSame(node)) return;
    this.level--;
    const text = this.text(value);
    this.tellPart(`=> ${text}`);
    if (isRealized(node)) this.values.set(node, text);
  }

  end(node: ExprNode, value: Json): void {
    const text = this.text(value);
    const expanded = this.expanded(node);
    const isSame = expanded === text || (typeof value === 'number' && expanded === `'${text}'`);
    if (!isSame) this.tell(`Expanded: ${expanded}`);
    this.tell(`Result: ${text}`);
  }

  private expanded(node: ExprNode): string {
    const value = this.values.get(node);
    if (value !== undefined) return value;
    const of = (part: ExprNode): string => this.expanded(part);
    return compose(node, of, (one) => `${of(one.of)}[${one.kind === 'index' ? of(one.key) : '*'}]`);
  }

  private isPartOfSame(node: ExprNode): boolean {
    const isSeveral = node.kind === 'and' || node.kind === 'or';
    return isSeveral && this.around.at(-1)?.kind === node.kind;
  }

  private text(value: Json): string {
    const isLong = typeof value === 'string' && value.length > this.left;
    return isLong ? "'…'" : format(value, (text) => this.trace.mask(text));
  }

  private tellPart(line: string): void {
    this.tell('..'.repeat(this.level) + line);
  }

  private tell(line: string): void {
    if (this.left <= 0) return;
    this.left -= line.length;
    const isTooMuch = this.left <= 0;
    this.trace.tell(
      isTooMuch
        ? 'The rest of this evaluation is not shown: it is too long.'
        : this.trace.mask(line),
    );
  }
}
