/**
 * Collects what is wrong with one file, with places that point into the file as it was written, and
 * the sentences GitHub shows.
 *
 * The template reader reports through the context it is given; this is that context. It maps what
 * it is told (a token, a range in the text the token means) back to the file.
 */
import { ExpressionError, MAX_PARSER_DEPTH } from '@actions/expressions/errors';
import { Lexer, type Token, TokenType } from '@actions/expressions/lexer';
import { TemplateContext } from '@actions/workflow-parser/templates/template-context';
import { TemplateValidationErrors } from '@actions/workflow-parser/templates/template-context';
import type { TemplateSchema } from '@actions/workflow-parser/templates/schema/template-schema';
import type { TokenRange } from '@actions/workflow-parser/templates/tokens/token-range';
import { NoOperationTraceWriter } from '@actions/workflow-parser/templates/trace-writer';
import type { TemplateToken } from '@actions/workflow-parser/templates/tokens/index';
import type { Position, Problem } from '@onejob/protocol';
import type { LineCounter } from 'yaml';
import { MESSAGE_CHARACTERS, PROBLEMS_KEPT, PROBLEMS_SHOWN } from '../limits.ts';
import { quoted, shortened } from '../quote.ts';
import { type Dialect, githubAliases } from './dialect.ts';
import { nodeRange, YamlReadError } from './yaml-reader.ts';

const OPEN = '${{';
const NOT_ALLOWED = 'A template expression is not allowed in this context';

/** The expression that opens at `start` of a text, without its braces. */
function expressionFrom(text: string, start: number): string {
  let inText = false;
  for (let i = start + OPEN.length; i < text.length; i++) {
    if (text[i] === "'") inText = !inText;
    else if (!inText && text.startsWith('}}', i)) return text.slice(start + OPEN.length, i).trim();
  }
  return text.slice(start + OPEN.length).trim();
}

/** How often an expression opens before `end`. */
function opensBefore(text: string, end: number): number {
  let count = 0;
  for (let i = text.indexOf(OPEN); i >= 0 && i < end; i = text.indexOf(OPEN, i + 1)) count++;
  return count;
}

/** Where in the text of a token the reader's range starts: it counts characters of the text. */
function textOffset(token: TemplateToken, range: TokenRange): number {
  const from = token.range?.start.column ?? range.start.column;
  return Math.max(range.start.column - from, 0);
}

/** What GitHub names when an expression ends too early. Lexing has succeeded before. */
function lastToken(expression: string): Token {
  const { tokens } = new Lexer(expression).lex();
  return tokens.findLast(({ type }) => type !== TokenType.EOF) ?? tokens[0]!;
}

/** GitHub's sentence for an error of the expression parser. */
export function expressionSentence(error: unknown, expression: string): string {
  if (error instanceof ExpressionError) {
    const tooDeep = `Exceeded max expression depth ${MAX_PARSER_DEPTH}`;
    if (error.message.startsWith(tooDeep)) return tooDeep;
    const within = `within expression: ${quoted(expression)}`;
    if (error.message.endsWith("'EOF'")) {
      const last = lastToken(expression);
      const where = `Located at position ${last.range.start.column + 1} ${within}`;
      return `Unexpected end of expression: '${quoted(last.lexeme)}'. ${where}`;
    }
    return `${error.message}. Located at position ${error.pos.column + 1} ${within}`;
  }
  const message = error instanceof Error ? error.message : String(error);
  if (message === 'ErrorExceededMaxLength') return 'Exceeded max expression length 21000';
  return message.replace(/(within expression: )([^]*)$/, (_, words, text) => words + quoted(text));
}

export class Problems extends TemplateContext {
  private readonly kept: Problem[] = [];
  private dropped = 0;
  /** Reading ended in the middle of the file: that alone is said, as of wrong YAML. */
  private isCutOff = false;
  readonly text: string;
  readonly lines: LineCounter;
  readonly dialect: Dialect;
  private readonly file: string;

  constructor(source: {
    file: string;
    text: string;
    lines: LineCounter;
    schema: TemplateSchema;
    /** GitHub's, where nothing is said. */
    dialect?: Dialect;
  }) {
    super(new TemplateValidationErrors(), source.schema, new NoOperationTraceWriter());
    this.file = source.file;
    this.text = source.text;
    this.lines = source.lines;
    this.dialect = source.dialect ?? 'github';
  }

  /** Other names of the context `github` in this file. */
  get aliases(): readonly string[] {
    return githubAliases(this.dialect);
  }

  /** The same file, where nobody listens to what is said. */
  unheard(): Problems {
    const { file, text, lines, schema, dialect } = this;
    return new Problems({ file, text, lines, schema, dialect });
  }

  get any(): boolean {
    return this.kept.length > 0;
  }

  atOffset(offset: number): Position {
    const { line, col } = this.lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  }

  /** Where a token starts; for an expression, where its `${{` stands. */
  at(token: TemplateToken | undefined): Position {
    if (token?.isExpression === true) return this.expressionAt(token, 0);
    const start = token?.range?.start;
    return start === undefined ? { line: 1, column: 1 } : { ...start };
  }

  /** Where the nth expression of a scalar opens in the file, whatever its quotes and indentation. */
  private expressionAt(token: TemplateToken, nth: number): Position {
    const start = token.range?.start ?? { line: 1, column: 1 };
    const range = nodeRange(token as { blockScalarHeader?: string });
    if (range === null) return { ...start };
    let at = this.text.indexOf(OPEN, range[0]);
    for (let i = 0; i < nth && at >= 0; i++) at = this.text.indexOf(OPEN, at + 1);
    return this.atOffset(at >= 0 && at < range[1] ? at : range[0]);
  }

  add(at: Position, message: string): void {
    if (this.isCutOff) return;
    if (this.kept.length >= PROBLEMS_KEPT) {
      this.dropped++;
      return;
    }
    // The library offers keys of a preview, which GitHub does not.
    const offered = message.replace('and and', 'and').replace(': parallel, ', ': ');
    const short = shortened(offered, MESSAGE_CHARACTERS);
    this.kept.push({ file: this.file, line: at.line, column: at.column, message: short });
  }

  override error(
    tokenOrFileId: TemplateToken | number | undefined,
    err?: unknown,
    tokenRange?: TokenRange,
  ): void {
    // Finding a place costs more than counting what nobody will be shown.
    if (this.kept.length >= PROBLEMS_KEPT) {
      this.dropped++;
      return;
    }
    if (err instanceof YamlReadError) {
      this.kept.length = 0;
      this.add(this.atOffset(err.offset), err.message);
      this.isCutOff = true;
      return;
    }
    const token = typeof tokenOrFileId === 'object' ? tokenOrFileId : undefined;
    const value = token !== undefined && 'value' in token ? String(token.value) : '';
    if (token !== undefined && tokenRange !== undefined && value.includes(OPEN)) {
      const offset = value.indexOf(OPEN, textOffset(token, tokenRange));
      const place = this.expressionAt(token, opensBefore(value, offset));
      this.add(place, expressionSentence(err, expressionFrom(value, offset)));
    } else {
      const message = expressionSentence(err, value.trim());
      // Of an expression that may not be there, GitHub tells where the whole text begins.
      const start = message === NOT_ALLOWED ? token?.range?.start : undefined;
      this.add(start === undefined ? this.at(token) : { ...start }, message);
    }
  }

  list(): Problem[] {
    return listed(this.kept, this.dropped);
  }
}

/**
 * In the order of the file, each once, at most PROBLEMS_SHOWN; a last one counts the rest.
 * @param dropped how many more there were than were kept
 */
export function listed(found: readonly Problem[], dropped = 0) {
  const seen = new Set<string>();
  const inOrder = found.toSorted((a, b) => a.line - b.line || a.column - b.column);
  const distinct = inOrder.filter((problem) => {
    const key = `${problem.line}:${problem.column}:${problem.message}`;
    return !seen.has(key) && seen.add(key);
  });
  const shown = distinct.slice(0, PROBLEMS_SHOWN);
  const next = distinct[PROBLEMS_SHOWN];
  const rest = distinct.length - shown.length + dropped;
  if (next !== undefined) shown.push({ ...next, message: `and ${rest} more` });
  return shown;
}
