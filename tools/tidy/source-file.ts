/**
 * One source file of the repository, parsed, with the facts that the repository rules ask for. The
 * rules themselves never look at syntax. Parsing is oxc's, the parser of our linter.
 */

import path from 'node:path';
import { parseSync, visitorKeys } from 'oxc-parser';
import type { Node } from 'oxc-parser';

export interface ImportFact {
  readonly specifier: string;
  readonly line: number;
  /** Types only: gone at run time. */
  readonly isTypeOnly: boolean;
  /** The imported names, as the module calls them; empty for a namespace, default or dynamic import. */
  readonly names: readonly string[];
}

export interface FunctionFact {
  readonly name: string;
  readonly line: number;
  readonly lineCount: number;
  /** The body of a `describe` or of a contract suite: a list of tests rather than a function. */
  readonly isSuiteBody: boolean;
}

/** A read of `object.property`, e.g. `process.env`, `Math.random`. */
export interface MemberFact {
  readonly object: string;
  readonly property: string;
  readonly line: number;
}

export interface CommentFact {
  readonly text: string;
  readonly line: number;
}

export interface SourceFile {
  /** Relative to the checkout. */
  readonly path: string;
  /** The workspace it is in. */
  readonly zone: string;
  readonly lineCount: number;
  readonly isTest: boolean;
  readonly isGenerated: boolean;
  readonly imports: readonly ImportFact[];
  readonly functions: readonly FunctionFact[];
  readonly members: readonly MemberFact[];
  /** Called or constructed bare names, e.g. `Date`, `fetch`. */
  readonly calls: readonly MemberFact[];
  readonly decoratorLines: readonly number[];
  readonly comments: readonly CommentFact[];
  /** The comment before the first statement, if there is one. */
  readonly openingComment: string | undefined;
  /** Nothing but re-exports. */
  readonly isBarrel: boolean;
}

/** Whether the rules for tests hold: `x.test.ts`, and everything in a `tests` folder. */
function isTestPath(file: string): boolean {
  return /\.test\.\w+$/.test(file) || file.split('/').includes('tests');
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && 'type' in value && 'start' in value;
}

function* childrenOf(node: Node): Generator<Node> {
  for (const key of visitorKeys[node.type] ?? []) {
    const value: unknown = (node as unknown as Record<string, unknown>)[key];
    for (const child of Array.isArray(value) ? value : [value]) {
      if (isNode(child)) yield child;
    }
  }
}

function nameOfKey(node: Node | null): string | undefined {
  if (node?.type === 'Identifier' || node?.type === 'PrivateIdentifier') return node.name;
  return node?.type === 'Literal' && typeof node.value === 'string' ? node.value : undefined;
}

/** What a function is called, from itself or from what holds it. */
function nameOfFunction(node: Node, parent: Node | undefined): string {
  if ('id' in node && isNode(node.id) && node.id.type === 'Identifier') return node.id.name;
  if (parent?.type === 'VariableDeclarator') return nameOfKey(parent.id) ?? 'anonymous';
  if (parent !== undefined && 'key' in parent && isNode(parent.key)) {
    return nameOfKey(parent.key) ?? 'anonymous';
  }
  if (parent?.type === 'CallExpression')
    return `argument of ${nameOfKey(parent.callee) ?? 'a call'}`;
  return 'anonymous';
}

const FUNCTIONS = new Set(['FunctionDeclaration', 'FunctionExpression', 'ArrowFunctionExpression']);
const SUITES = new Set(['describe', 'suite']);
const TESTS = new Set([...SUITES, 'test', 'it']);

/** The name that is called: `test` of `test(...)` and of `test.skip(...)`. */
function calledName(node: Node): string {
  if (node.type !== 'CallExpression') return '';
  const { callee } = node;
  return nameOfKey(callee.type === 'MemberExpression' ? callee.object : callee) ?? '';
}

/** The argument of `describe`, or of a contract suite: a function whose statements are tests. */
function isListOfTests(node: Node, call: Node): boolean {
  if (SUITES.has(calledName(call))) return true;
  if (TESTS.has(calledName(call))) return false;
  if (!('body' in node) || !isNode(node.body) || node.body.type !== 'BlockStatement') return false;
  return node.body.body.some(
    (statement) =>
      statement.type === 'ExpressionStatement' && TESTS.has(calledName(statement.expression)),
  );
}

class FactCollector {
  readonly functions: FunctionFact[] = [];
  readonly members: MemberFact[] = [];
  readonly calls: MemberFact[] = [];
  readonly decoratorLines: number[] = [];
  readonly #lineOf: (offset: number) => number;

  constructor(lineOf: (offset: number) => number) {
    this.#lineOf = lineOf;
  }

  visit(node: Node, parent: Node | undefined): void {
    const line = this.#lineOf(node.start);
    if (FUNCTIONS.has(node.type)) this.#addFunction(node, parent, line);
    if (node.type === 'Decorator') this.decoratorLines.push(line);
    if (node.type === 'MemberExpression') this.#addMember(node.object, node.property, line);
    if (node.type === 'VariableDeclarator' && node.id.type === 'ObjectPattern' && node.init) {
      for (const property of node.id.properties) {
        if (property.type === 'Property') this.#addMember(node.init, property.key, line);
      }
    }
    if (node.type === 'CallExpression' || node.type === 'NewExpression') {
      const callee = nameOfKey(node.callee);
      if (callee !== undefined && node.callee.type === 'Identifier') {
        const property = node.arguments.length === 0 ? '()' : '(...)';
        this.calls.push({ object: callee, property, line });
      }
    }
    for (const child of childrenOf(node)) this.visit(child, node);
  }

  #addFunction(node: Node, parent: Node | undefined, line: number): void {
    this.functions.push({
      name: nameOfFunction(node, parent),
      line,
      lineCount: this.#lineOf(node.end) - line + 1,
      isSuiteBody: parent?.type === 'CallExpression' && isListOfTests(node, parent),
    });
  }

  /** `a.b` and `x.a.b` both count as b of a, so that `globalThis.process.env` is found too. */
  #addMember(object: Node, property: Node, line: number): void {
    const propertyName = nameOfKey(property);
    const objectName =
      object.type === 'MemberExpression' ? nameOfKey(object.property) : nameOfKey(object);
    if (propertyName === undefined || objectName === undefined) return;
    this.members.push({ object: objectName, property: propertyName, line });
  }
}

type Parsed = ReturnType<typeof parseSync>;

function collectImports(
  parsed: Parsed,
  text: string,
  lineOf: (at: number) => number,
): ImportFact[] {
  const { staticImports, staticExports, dynamicImports } = parsed.module;
  const found: ImportFact[] = staticImports.map((one) => ({
    specifier: one.moduleRequest.value,
    line: lineOf(one.start),
    isTypeOnly: one.entries.length > 0 && one.entries.every((entry) => entry.isType),
    names: one.entries.flatMap((entry) => entry.importName.name ?? []),
  }));
  for (const one of staticExports) {
    const from = one.entries.find((entry) => entry.moduleRequest !== null)?.moduleRequest;
    if (from === undefined || from === null) continue;
    found.push({
      specifier: from.value,
      line: lineOf(one.start),
      isTypeOnly: one.entries.every((entry) => entry.isType),
      names: one.entries.flatMap((entry) => entry.importName.name ?? []),
    });
  }
  for (const one of dynamicImports) {
    // A computed specifier keeps its source text, which no rule allows or knows.
    const source = text.slice(one.moduleRequest.start, one.moduleRequest.end);
    const specifier = source.replace(/^['"`](.*)['"`]$/s, '$1');
    found.push({ specifier, line: lineOf(one.start), isTypeOnly: false, names: [] });
  }
  return found;
}

function isBarrel(body: readonly Node[]): boolean {
  const isReExport = (node: Node): boolean =>
    node.type === 'ExportAllDeclaration' ||
    (node.type === 'ExportNamedDeclaration' && node.declaration === null);
  return (
    body.some(isReExport) &&
    body.every((node) => isReExport(node) || node.type === 'ImportDeclaration')
  );
}

/** Parses `text` as the file at `file` (relative to the checkout). Throws on a syntax error. */
export function readSource(file: string, text: string): SourceFile {
  const parsed = parseSync(path.basename(file), text);
  const [error] = parsed.errors;
  if (error !== undefined) throw new Error(`${file} cannot be parsed: ${error.message}`);

  const lineStarts = [0];
  for (let at = text.indexOf('\n'); at >= 0; at = text.indexOf('\n', at + 1))
    lineStarts.push(at + 1);
  const lineOf = (offset: number): number => {
    const next = lineStarts.findIndex((start) => start > offset);
    return next < 0 ? lineStarts.length : next;
  };

  const collector = new FactCollector(lineOf);
  for (const node of parsed.program.body) collector.visit(node, undefined);
  const firstStatement = parsed.program.body[0]?.start ?? text.length;
  const opening = parsed.comments.find((comment) => !comment.value.startsWith('!'));
  const openingLines = parsed.comments.filter((one) => one.end <= firstStatement);

  return {
    path: file,
    zone: file.split('/')[0] ?? '',
    lineCount: text.endsWith('\n') ? lineStarts.length - 1 : lineStarts.length,
    isTest: isTestPath(file),
    isGenerated: file.split('/').includes('gen'),
    imports: collectImports(parsed, text, lineOf),
    functions: collector.functions,
    members: collector.members,
    calls: collector.calls,
    decoratorLines: collector.decoratorLines,
    comments: parsed.comments.map((one) => ({ text: one.value, line: lineOf(one.start) })),
    openingComment:
      opening !== undefined && opening.end <= firstStatement
        ? openingLines.map((one) => one.value).join('\n')
        : undefined,
    isBarrel: isBarrel(parsed.program.body),
  };
}
