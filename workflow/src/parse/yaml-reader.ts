/**
 * Feeds a YAML file to the template reader of `@actions/workflow-parser`, one event at a time.
 *
 * Promises more than the package's own reader: block scalars arrive as the text they mean (not
 * their indented source), aliases are expanded in linear time and under a cap, a cycle of aliases
 * or a key that is no scalar is an error with its place, and every scalar carries its place in the
 * file so that positions of expressions inside it can be found (`nodeRange`).
 *
 * GitHub reads YAML 1.2 (core schema) without merge keys.
 */
import type { ObjectReader } from '@actions/workflow-parser/templates/object-reader';
import {
  BooleanToken,
  MappingToken,
  NullToken,
  NumberToken,
  SequenceToken,
  StringToken,
} from '@actions/workflow-parser/templates/tokens/index';
import type { LiteralToken } from '@actions/workflow-parser/templates/tokens/index';
import type { TokenRange } from '@actions/workflow-parser/templates/tokens/token-range';
import {
  isAlias,
  isMap,
  isPair,
  isScalar,
  isSeq,
  type LineCounter,
  type Document,
  type Node,
  type Scalar,
} from 'yaml';
import { EXPRESSIONS_PER_TEXT, PARSE_DEPTH, PARSE_EVENTS } from '../limits.ts';

/** What stops the reading of a file, with the node it happened at. */
export class YamlReadError extends Error {
  readonly offset: number;
  constructor(message: string, offset: number) {
    super(message);
    this.offset = offset;
  }
}

const OPEN_EXPRESSION = '${{';

type Event =
  | { kind: 'literal'; token: LiteralToken }
  | { kind: 'sequence'; token: SequenceToken }
  | { kind: 'mapping'; token: MappingToken }
  | { kind: 'sequenceEnd' | 'mappingEnd' | 'end' };

const offsetOf = (node: unknown): number =>
  (node as { range?: [number, number, number] | null } | null)?.range?.[0] ?? 0;

/**
 * The offsets of a token's text in its file. They travel in the token's `blockScalarHeader`, the one
 * field that the template reader hands on to every token it makes of another and never reads.
 */
export function nodeRange(token: {
  blockScalarHeader?: string | undefined;
}): [number, number] | null {
  const match = /^@(\d+):(\d+)$/.exec(token.blockScalarHeader ?? '');
  return match === null ? null : [Number(match[1]), Number(match[2])];
}

/** Which node each alias means: the last anchor of that name before it. */
export function resolveAliases(document: Document): Map<unknown, Node> {
  const anchors = new Map<string, Node>();
  const targets = new Map<unknown, Node>();
  const stack: unknown[] = [document.contents];
  while (stack.length > 0) {
    const node = stack.pop();
    if (isAlias(node)) {
      const target = anchors.get(node.source);
      if (target !== undefined) targets.set(node, target);
      continue;
    }
    if (isScalar(node) || isMap(node) || isSeq(node)) {
      if (node.anchor !== undefined) anchors.set(node.anchor, node);
    }
    if (isPair(node)) stack.push(node.value, node.key);
    else if (isMap(node) || isSeq(node)) {
      for (let i = node.items.length - 1; i >= 0; i--) stack.push(node.items[i]);
    }
  }
  return targets;
}

export class YamlReader implements ObjectReader {
  private readonly fileId: number;
  private readonly lines: LineCounter;
  private readonly aliases: Map<unknown, Node>;
  private readonly events: Generator<Event, void, void>;
  private current: Event | undefined;
  private count = 0;
  /** What the walk is at: outside of aliases the node, inside the outermost alias. */
  private place: unknown;

  constructor(fileId: number, document: Document, lines: LineCounter) {
    this.fileId = fileId;
    this.lines = lines;
    this.aliases = resolveAliases(document);
    this.events = this.walk(document.contents, 0, new Set());
  }

  private range(node: unknown): TokenRange {
    const range = (node as { range?: [number, number, number] | null } | null)?.range;
    const start = this.lines.linePos(range?.[0] ?? 0);
    const end = this.lines.linePos(range?.[1] ?? 0);
    const at = (place: { line: number; col: number }) => ({
      line: Math.max(place.line, 1),
      column: Math.max(place.col, 1),
    });
    return { start: at(start), end: at(end) };
  }

  private *walk(node: unknown, depth: number, open: Set<Node>): Generator<Event, void, void> {
    if (open.size === 0) this.place = node;
    if (depth > PARSE_DEPTH) {
      throw new YamlReadError(`Maximum object depth exceeded (${PARSE_DEPTH})`, offsetOf(node));
    }
    if (isAlias(node)) {
      const target = this.target(node, open);
      open.add(target);
      yield* this.walk(target, depth, open);
      open.delete(target);
    } else if (isSeq(node)) {
      yield {
        kind: 'sequence',
        token: new SequenceToken(this.fileId, this.range(node), undefined),
      };
      for (const item of node.items) yield* this.walk(item, depth + 1, open);
      yield { kind: 'sequenceEnd' };
    } else if (isMap(node)) {
      yield { kind: 'mapping', token: new MappingToken(this.fileId, this.range(node), undefined) };
      for (const pair of node.items) {
        yield { kind: 'literal', token: this.key(pair.key, node, open) };
        if (pair.value === null) {
          yield {
            kind: 'literal',
            token: new NullToken(this.fileId, this.scalarRange(pair.key), undefined),
          };
        } else {
          yield* this.walk(pair.value, depth + 1, open);
        }
      }
      yield { kind: 'mappingEnd' };
    } else {
      yield { kind: 'literal', token: this.literal(node) };
    }
  }

  private target(node: { source: string }, open: Set<Node>): Node {
    const target = this.aliases.get(node);
    if (target === undefined) {
      throw new YamlReadError(
        `The alias '*${node.source}' has no anchor before it`,
        offsetOf(node),
      );
    }
    if (open.has(target)) {
      throw new YamlReadError(`The alias '*${node.source}' contains itself`, offsetOf(node));
    }
    return target;
  }

  /** Keys are text; a number, boolean or null as key is the text it would be. */
  private key(node: unknown, parent: unknown, open: Set<Node>): StringToken {
    const key = isAlias(node) ? this.target(node, open) : node;
    if (!isScalar(key)) {
      throw new YamlReadError('A mapping key must be a scalar', offsetOf(node ?? parent));
    }
    const text =
      typeof key.value === 'string' ? key.value : (key.source ?? String(key.value ?? ''));
    return this.text(key, text);
  }

  private text(node: Scalar, value: string): StringToken {
    if (value.includes('\0')) {
      throw new YamlReadError('A text may not hold the character NUL', offsetOf(node));
    }
    const expressions = value.split(OPEN_EXPRESSION, EXPRESSIONS_PER_TEXT + 2).length - 1;
    if (expressions > EXPRESSIONS_PER_TEXT) {
      const message = `A text may hold at most ${EXPRESSIONS_PER_TEXT} expressions, this one has more`;
      throw new YamlReadError(message, offsetOf(node));
    }
    const [start, end] = node.range ?? [0, 0];
    const range = this.scalarRange(node);
    return new StringToken(this.fileId, range, value, undefined, undefined, `@${start}:${end}`);
  }

  /**
   * Where a scalar starts. Its end is left out: of a text of one line the template reader counts
   * columns from there, of one of several lines it would count all lines for each expression again.
   */
  private scalarRange(node: unknown): TokenRange {
    const { start } = this.range(node);
    return { start, end: start };
  }

  private literal(node: unknown): LiteralToken {
    const range = this.scalarRange(node);
    if (!isScalar(node)) return new NullToken(this.fileId, range, undefined);
    const { value } = node;
    if (value === null || value === undefined) return new NullToken(this.fileId, range, undefined);
    if (typeof value === 'number') return new NumberToken(this.fileId, range, value, undefined);
    if (typeof value === 'boolean') return new BooleanToken(this.fileId, range, value, undefined);
    if (typeof value === 'string') return this.text(node, value);
    throw new YamlReadError(`A value with the tag '${node.tag}' was not expected`, offsetOf(node));
  }

  private advance(): void {
    if (++this.count > PARSE_EVENTS) {
      const message = `Maximum number of YAML nodes exceeded (${PARSE_EVENTS}), aliases expanded`;
      throw new YamlReadError(message, offsetOf(this.place));
    }
    const next = this.events.next();
    this.current = next.done === true ? { kind: 'end' } : next.value;
  }

  allowLiteral(): LiteralToken | undefined {
    if (this.current?.kind !== 'literal') return undefined;
    const { token } = this.current;
    this.advance();
    return token;
  }

  allowSequenceStart(): SequenceToken | undefined {
    if (this.current?.kind !== 'sequence') return undefined;
    const { token } = this.current;
    this.advance();
    return token;
  }

  allowMappingStart(): MappingToken | undefined {
    if (this.current?.kind !== 'mapping') return undefined;
    const { token } = this.current;
    this.advance();
    return token;
  }

  private allowEnd(kind: 'sequenceEnd' | 'mappingEnd'): boolean {
    if (this.current?.kind !== kind) return false;
    this.advance();
    return true;
  }

  allowSequenceEnd(): boolean {
    return this.allowEnd('sequenceEnd');
  }

  allowMappingEnd(): boolean {
    return this.allowEnd('mappingEnd');
  }

  validateStart(): void {
    this.advance();
  }

  validateEnd(): void {
    if (this.current?.kind !== 'end') throw new YamlReadError('Expected the end of the file', 0);
  }
}
