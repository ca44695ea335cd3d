/**
 * Where things stand in a workflow file: the place of a value by its path (`jobs`, `build`, `steps`,
 * 0, `shell`), and of the nth `${{` of a text. For files that were parsed before: it checks nothing.
 */
import type { Position } from '@onejob/protocol';
import {
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  type YAMLMap,
} from 'yaml';
import { resolveAliases } from '../parse/yaml-reader.ts';

export type Path = readonly (string | number)[];
/** A scalar of a list, with its place. */
export type Item = { text: string; at: Position };

const OPEN = '${{';

export class Places {
  readonly #text: string;
  readonly #lines = new LineCounter();
  readonly #root: unknown;
  readonly #aliases: ReadonlyMap<unknown, Node>;
  /** Of mappings that were looked into: a file may have a thousand jobs. */
  readonly #entries = new Map<YAMLMap, Map<string, unknown>>();

  constructor(text: string) {
    this.#text = text;
    const document = parseDocument(text, {
      lineCounter: this.#lines,
      prettyErrors: false,
      uniqueKeys: false,
      logLevel: 'silent',
    });
    this.#root = document.contents;
    this.#aliases = resolveAliases(document);
  }

  /** Of the value at the path; of the nearest thing around it where there is none. */
  at(path: Path): Position {
    let node = this.#root;
    let offset = offsetOf(node);
    for (const segment of path) {
      node = this.#child(node, segment);
      offset = offsetOf(node) ?? offset;
    }
    return this.#position(offset ?? 0);
  }

  /** The scalars of the list at the path; empty where there is no list. */
  items(path: Path): Item[] {
    let node = this.#root;
    for (const segment of path) node = this.#child(node, segment);
    const list = this.#resolved(node);
    if (!isSeq(list)) return [];
    return list.items.flatMap((item) => {
      const scalar = this.#resolved(item);
      if (!isScalar(scalar)) return [];
      return [{ text: String(scalar.value), at: this.#position(offsetOf(item) ?? 0) }];
    });
  }

  /** Of the nth expression of a text whose first one opens at `first`. */
  expression(first: Position, nth: number): Position {
    const start = (this.#lines.lineStarts[first.line - 1] ?? 0) + first.column - 1;
    let offset = start;
    for (let count = 0; count < nth; count++) {
      const next = this.#text.indexOf(OPEN, offset + 1);
      if (next < 0) break;
      offset = next;
    }
    return this.#position(offset);
  }

  #child(node: unknown, segment: string | number): unknown {
    const parent = this.#resolved(node);
    if (isSeq(parent)) return typeof segment === 'number' ? parent.items[segment] : undefined;
    if (!isMap(parent)) return undefined;
    return this.#entriesOf(parent).get(String(segment));
  }

  #entriesOf(map: YAMLMap): Map<string, unknown> {
    const known = this.#entries.get(map);
    if (known !== undefined) return known;
    const entries = new Map<string, unknown>();
    for (const { key, value } of map.items) {
      const scalar = this.#resolved(key);
      const name = isScalar(scalar) ? (scalar.source ?? String(scalar.value)) : undefined;
      if (name !== undefined && !entries.has(name)) entries.set(name, value ?? undefined);
    }
    this.#entries.set(map, entries);
    return entries;
  }

  #resolved(node: unknown): unknown {
    return isAlias(node) ? this.#aliases.get(node) : node;
  }

  #position(offset: number): Position {
    const { line, col } = this.#lines.linePos(offset);
    return { line: Math.max(line, 1), column: Math.max(col, 1) };
  }
}

const offsetOf = (node: unknown): number | undefined =>
  (node as { range?: [number, number, number] | null } | undefined)?.range?.[0];
