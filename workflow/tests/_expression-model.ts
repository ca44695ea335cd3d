/**
 * A second reading of expressions, for tests: a lexer of one regular expression and a parser that climbs
 * a table of precedences. Written from the tables of GitHub's runner (Tokens/LexicalAnalyzer.cs,
 * Tokens/Token.cs and ParseNumber in Sdk/ExpressionUtility.cs of its SDK), it shares nothing with the
 * package that onejob parses with.
 */
import type { CompareOperator, ExprNode } from '@onejob/protocol';

type ModelToken = { kind: 'number' | 'text' | 'word' | 'sign'; text: string };

/** Higher binds closer. */
const PRECEDENCE: Readonly<Record<string, number>> = {
  '||': 1,
  '&&': 2,
  ...{ '==': 3, '!=': 3 },
  ...{ '<': 4, '<=': 4, '>': 4, '>=': 4 },
};
/** Fewest and most arguments. */
const FUNCTIONS: Readonly<Record<string, readonly [number, number]>> = {
  contains: [2, 2],
  startswith: [2, 2],
  endswith: [2, 2],
  format: [1, 255],
  join: [1, 2],
  tojson: [1, 1],
  fromjson: [1, 1],
  case: [3, 255],
};

const NUMBER_LIKE = String.raw`[+\-0-9][^()[\],!><=&|\s]*`;
const FRACTION_LIKE = String.raw`\.[^()[\],!><=&|\s]*`;
const TOKEN = new RegExp(
  [
    String.raw`(?<space>[ \t\r\n]+)`,
    `(?<text>'(?:[^']|'')*')`,
    String.raw`(?<sign>==|!=|<=|>=|&&|\|\||[()[\],*!<>])`,
    `(?<number>${NUMBER_LIKE})`,
    String.raw`(?<word>[A-Za-z_][A-Za-z0-9_\-]*(?=[()[\],.!><=&|\s]|$))`,
  ].join('|'),
  'uy',
);
const FRACTION = new RegExp(FRACTION_LIKE, 'uy');

function modelTokens(expression: string): ModelToken[] {
  const tokens: ModelToken[] = [];
  for (let at = 0; at < expression.length;) {
    if (expression[at] === '.') {
      const before = tokens.at(-1)?.text ?? '(';
      // A point begins a number where an operand is wanted, else it reaches into one.
      const isNumber = /^(?:[,([!<>]|[=!<>]=|&&|\|\|)$/.test(before);
      FRACTION.lastIndex = at;
      const text = isNumber ? (FRACTION.exec(expression)?.[0] ?? '.') : '.';
      tokens.push({ kind: isNumber ? 'number' : 'sign', text });
      at += text.length;
      continue;
    }
    TOKEN.lastIndex = at;
    const match = TOKEN.exec(expression);
    if (match === null) throw new Error(`no token at ${at}`);
    const { space, text, sign, number, word } = match.groups ?? {};
    at = TOKEN.lastIndex;
    if (space !== undefined) continue;
    if (text !== undefined) tokens.push({ kind: 'text', text });
    else if (sign !== undefined) tokens.push({ kind: 'sign', text: sign });
    else if (number !== undefined) tokens.push({ kind: 'number', text: number });
    else tokens.push({ kind: 'word', text: word ?? '' });
  }
  return tokens;
}

const number = (value: number): ExprNode =>
  Number.isFinite(value)
    ? { kind: 'literal', value }
    : { kind: 'special', value: String(value) as 'NaN' | 'Infinity' | '-Infinity' };

function modelNumber(text: string): ExprNode {
  if (/^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(text)) return number(parseFloat(text));
  if (text === '-Infinity') return number(-Infinity);
  const [, base = '', digits = ''] = /^0([xo])(.+)$/.exec(text) ?? [];
  const isWhole = base === 'x' ? /^[0-9a-f]+$/i.test(digits) : /^[0-7]+$/.test(digits);
  const value = isWhole ? BigInt(`0${base}${digits}`) : 1n << 32n;
  if (base === '' || value >= 1n << 32n) throw new Error(`no number: ${text}`);
  return number(Number(BigInt.asIntN(32, value)));
}

const WORDS: Readonly<Record<string, ExprNode>> = {
  null: { kind: 'literal', value: null },
  true: { kind: 'literal', value: true },
  false: { kind: 'literal', value: false },
  NaN: { kind: 'special', value: 'NaN' },
  Infinity: { kind: 'special', value: 'Infinity' },
};

class ModelParser {
  private readonly tokens: ModelToken[];
  private readonly contexts: readonly string[];
  private at = 0;

  constructor(tokens: ModelToken[], contexts: readonly string[]) {
    this.tokens = tokens;
    this.contexts = contexts;
  }

  whole(): ExprNode {
    const node = this.climb(1);
    if (this.at < this.tokens.length) throw new Error('something is left over');
    return node;
  }

  private takes(sign: string): boolean {
    const token = this.tokens[this.at];
    const fits = token?.kind === 'sign' && token.text === sign;
    if (fits) this.at++;
    return fits;
  }

  private must(sign: string): void {
    if (!this.takes(sign)) throw new Error(`${sign} is missing`);
  }

  /** Operators of `least` and above; those of one level go from left to right. */
  private climb(least: number): ExprNode {
    let left = this.unary();
    for (;;) {
      const token = this.tokens[this.at];
      const level = token?.kind === 'sign' ? (PRECEDENCE[token.text] ?? 0) : 0;
      if (token === undefined || level < least) return left;
      if (level > 2) {
        this.at++;
        const op = token.text as CompareOperator;
        left = { kind: 'compare', op, left, right: this.climb(level + 1) };
        continue;
      }
      const all = [left];
      while (this.takes(token.text)) all.push(this.climb(level + 1));
      left = { kind: level === 2 ? 'and' : 'or', all };
    }
  }

  private unary(): ExprNode {
    return this.takes('!') ? { kind: 'not', of: this.unary() } : this.operand();
  }

  private operand(): ExprNode {
    const token = this.tokens[this.at++];
    if (token === undefined) throw new Error('an operand is missing');
    if (token.kind === 'number') return modelNumber(token.text);
    if (token.kind === 'text') {
      return { kind: 'literal', value: token.text.slice(1, -1).replaceAll("''", "'") };
    }
    if (token.kind === 'word') {
      const constant = WORDS[token.text];
      return constant === undefined || !Object.hasOwn(WORDS, token.text)
        ? this.reached(this.named(token.text))
        : constant;
    }
    if (token.text !== '(') throw new Error(`${token.text} is no operand`);
    const inner = this.climb(1);
    this.must(')');
    return this.reached(inner);
  }

  private named(word: string): ExprNode {
    const name = word.toLowerCase();
    if (!this.takes('(')) {
      if (!this.contexts.includes(name)) throw new Error(`no context: ${word}`);
      return { kind: 'context', name };
    }
    const args: ExprNode[] = [];
    while (!this.takes(')')) {
      if (args.length > 0) this.must(',');
      args.push(this.climb(1));
    }
    const [least, most] = FUNCTIONS[name] ?? [1, 0];
    const isEven = name === 'case' && args.length % 2 === 0;
    if (args.length < least || args.length > most || isEven) throw new Error(`no call of ${word}`);
    return { kind: 'call', name, args };
  }

  /** What follows a context, a call or a group: `.key`, `.*`, `[...]`. */
  private reached(node: ExprNode): ExprNode {
    let of = node;
    for (;;) {
      if (this.takes('.')) {
        const token = this.tokens[this.at++];
        if (token?.kind === 'word') {
          of = { kind: 'index', of, key: { kind: 'literal', value: token.text } };
        } else if (token?.text === '*') of = { kind: 'wildcard', of };
        else throw new Error('a key is missing');
      } else if (this.takes('[')) {
        if (this.takes('*')) of = { kind: 'wildcard', of };
        else of = { kind: 'index', of, key: this.climb(1) };
        this.must(']');
      } else return of;
    }
  }
}

/** Without `&&` right inside of `&&`, and `||` inside of `||`: the runner has one node for all. */
export function flattened(node: ExprNode): ExprNode {
  switch (node.kind) {
    case 'and':
    case 'or': {
      const all = node.all.map(flattened);
      const { kind } = node;
      return { kind, all: all.flatMap((one) => (one.kind === kind ? one.all : [one])) };
    }
    case 'compare':
      return { ...node, left: flattened(node.left), right: flattened(node.right) };
    case 'index':
      return { ...node, of: flattened(node.of), key: flattened(node.key) };
    case 'not':
    case 'wildcard':
      return { ...node, of: flattened(node.of) };
    case 'call':
      return { ...node, args: node.args.map(flattened) };
    default:
      return node;
  }
}

/** Nodes from the root to a leaf; a wildcard is a leaf beside what it is of. */
function depthOf(node: ExprNode): number {
  const inner =
    'all' in node
      ? node.all
      : 'args' in node
        ? node.args
        : 'left' in node
          ? [node.left, node.right]
          : 'key' in node
            ? [node.of, node.key]
            : 'of' in node
              ? [node.of]
              : [];
  return 1 + Math.max(0, ...inner.map(depthOf));
}

/** @throws where it is no expression */
export function modelParse(expression: string, contexts: readonly string[]): ExprNode {
  const node = flattened(new ModelParser(modelTokens(expression), contexts).whole());
  if (depthOf(node) > 50) throw new Error('it is too deep');
  return node;
}
