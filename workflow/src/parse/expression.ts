/**
 * Expression text to expression tree: `@actions/expressions` parses, this turns its syntax tree into
 * ExprNode data.
 *
 * What that package reads otherwise than GitHub's runner is put right here: only the first `''` of a
 * text literal is unescaped by it, names such as `constructor` pass for functions, numbers follow
 * JavaScript (`0b1`, `0XF`, `+Infinity`; hexadecimal beyond 32 bits), a comma may end arguments, and
 * chains of comparisons have no end.
 */
import { Lexer, Parser } from '@actions/expressions';
import { MAX_PARSER_DEPTH } from '@actions/expressions/errors';
import {
  Binary,
  ContextAccess,
  type Expr,
  FunctionCall,
  Grouping,
  IndexAccess,
  Literal,
  Logical,
  Star,
  Unary,
} from '@actions/expressions/ast';
import { type ExpressionData, Kind } from '@actions/expressions/data/index';
import { type Token, TokenType } from '@actions/expressions/lexer';
import { splitAllowedContext } from '@actions/workflow-parser/templates/allowed-context';
import type { CompareOperator, ExprNode } from '@onejob/protocol';
import { BUILT_INS } from '../evaluate/functions.ts';
import { toNumber } from '../evaluate/values.ts';
import { someNode } from '../some-node.ts';

const COMPARE = new Map<TokenType, CompareOperator>([
  [TokenType.EQUAL_EQUAL, '=='],
  [TokenType.BANG_EQUAL, '!='],
  [TokenType.LESS, '<'],
  [TokenType.LESS_EQUAL, '<='],
  [TokenType.GREATER, '>'],
  [TokenType.GREATER_EQUAL, '>='],
]);

function numberNode(value: number): ExprNode {
  if (Number.isNaN(value)) return { kind: 'special', value: 'NaN' };
  if (Number.isFinite(value)) return { kind: 'literal', value };
  return { kind: 'special', value: value > 0 ? 'Infinity' : '-Infinity' };
}

function literalNode(node: Literal): ExprNode {
  const data: ExpressionData = node.literal;
  switch (data.kind) {
    case Kind.Null:
      return { kind: 'literal', value: null };
    case Kind.Number:
      return numberNode(toNumber(node.token.lexeme));
    case Kind.Boolean:
      return { kind: 'literal', value: data.coerceString() === 'true' };
    default:
      break;
  }
  const { lexeme, type } = node.token;
  const value = type === TokenType.STRING ? lexeme.slice(1, -1).replaceAll("''", "'") : lexeme;
  return { kind: 'literal', value };
}

/** Of `a && (b && c)` all three: the runner's tree has no `&&` in `&&`, and no `||` in `||`. */
function operandsOf(node: Logical): Expr[] {
  return node.args.flatMap((arg) => {
    const inner = ungrouped(arg);
    if (!(inner instanceof Logical) || inner.operator.type !== node.operator.type) return [inner];
    return operandsOf(inner);
  });
}

const ungrouped = (node: Expr): Expr => (node instanceof Grouping ? ungrouped(node.group) : node);

class Converter {
  private readonly functions: Set<string>;
  private readonly expression: string;
  private readonly aliases: readonly string[];
  private depth = 0;

  constructor(expression: string, functions: string[], aliases: readonly string[]) {
    this.expression = expression;
    this.aliases = aliases;
    this.functions = new Set(functions.map((name) => name.toLowerCase()));
  }

  /** Nodes from the root to a leaf are counted as by GitHub's runner, to which parentheses are none. */
  convert(node: Expr): ExprNode {
    if (node instanceof Grouping) return this.convert(node.group);
    if (++this.depth > MAX_PARSER_DEPTH) {
      throw new Error(`Exceeded max expression depth ${MAX_PARSER_DEPTH}`);
    }
    const converted = this.dispatch(node);
    this.depth--;
    return converted;
  }

  private dispatch(node: Expr): ExprNode {
    if (node instanceof Literal) return literalNode(node);
    if (node instanceof ContextAccess) {
      const name = node.name.lexeme.toLowerCase();
      return { kind: 'context', name: this.aliases.includes(name) ? 'github' : name };
    }
    if (node instanceof IndexAccess) {
      const of = this.convert(node.expr);
      if (node.index instanceof Star) return { kind: 'wildcard', of };
      return { kind: 'index', of, key: this.convert(node.index) };
    }
    if (node instanceof FunctionCall) return this.call(node);
    if (node instanceof Unary) return { kind: 'not', of: this.convert(node.expr) };
    if (node instanceof Logical) {
      const all = operandsOf(node).map((arg) => this.convert(arg));
      return { kind: node.operator.type === TokenType.AND ? 'and' : 'or', all };
    }
    if (node instanceof Binary) return this.compare(node);
    throw new Error('Unexpected part of an expression');
  }

  private compare(node: Binary): ExprNode {
    const op = COMPARE.get(node.operator.type);
    if (op === undefined) throw new Error(`Unexpected symbol: '${node.operator.lexeme}'`);
    return { kind: 'compare', op, left: this.convert(node.left), right: this.convert(node.right) };
  }

  private call(node: FunctionCall): ExprNode {
    const { lexeme, range } = node.functionName;
    const name = lexeme.toLowerCase();
    if (!BUILT_INS.has(name) && !this.functions.has(name)) {
      const at = `Located at position ${range.start.column + 1} within expression: ${this.expression}`;
      throw new Error(`Unrecognized function: '${lexeme}'. ${at}`);
    }
    return { kind: 'call', name, args: node.args.map((arg) => this.convert(arg)) };
  }
}

/** Tokens that GitHub's runner does not take where they stand. */
function refuseTokens(tokens: readonly Token[], expression: string): void {
  tokens.forEach((token, i) => {
    const { type, lexeme, range } = token;
    const isNoNumber =
      type === TokenType.NUMBER && lexeme !== 'NaN' && Number.isNaN(toNumber(lexeme));
    const endsArguments = type === TokenType.RIGHT_PAREN && tokens[i - 1]?.type === TokenType.COMMA;
    if (!isNoNumber && !endsArguments) return;
    const at = `Located at position ${range.start.column + 1} within expression: ${expression}`;
    throw new Error(`Unexpected symbol: '${lexeme}'. ${at}`);
  });
}

/**
 * @param expression without `${{ }}`
 * @param allowed contexts and functions of the place it stands in, as the schema writes them:
 *   `github`, `hashFiles(1,255)`
 * @param aliases second names of the context `github`
 * @throws Error or ExpressionError of `@actions/expressions`, for `expressionSentence`
 */
export function parseExpression(
  expression: string,
  allowed: string[],
  aliases: readonly string[] = [],
): ExprNode {
  const { namedContexts, functions } = splitAllowedContext(allowed);
  const { tokens } = new Lexer(expression).lex();
  refuseTokens(tokens, expression);
  const tree = new Parser(
    tokens,
    namedContexts,
    functions.map((one) => ({ ...one, call: neverCalled })),
  ).parse() as Expr | undefined;
  if (tree === undefined) throw new Error('An expression was expected');
  return new Converter(
    expression,
    functions.map((one) => one.name),
    aliases,
  ).convert(tree);
}

/** The parser wants functions it could call; it only reads how many arguments they take. */
function neverCalled(): ExpressionData {
  throw new Error('a function was called while parsing');
}

const STATUS_FUNCTIONS = new Set(['success', 'failure', 'always', 'cancelled']);

/** A condition that asks for no status itself gets `success() &&` before it. */
export function withImplicitSuccess(node: ExprNode): ExprNode {
  const asks = someNode(node, (one) => one.kind === 'call' && STATUS_FUNCTIONS.has(one.name));
  if (asks) return node;
  return { kind: 'and', all: [{ kind: 'call', name: 'success', args: [] }, node] };
}
