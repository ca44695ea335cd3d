/**
 * `toJSON` and `fromJSON`: JSON as GitHub writes it (two spaces, numbers as text conversion gives
 * them), and a reader that is bounded in depth and never quotes what it read: it may be a secret.
 */
import JSON5 from 'json5';
import type { Json, JsonObject } from '@onejob/protocol';
import type { Budget } from './budget.ts';
import { EvaluationError } from './error.ts';
import { JSON_DEPTH, LOOSE_JSON_COST, VALUE_DEPTH } from './limits.ts';
import { isObject, toText } from './values.ts';

/** GitHub's writer also escapes the line separators that JSON itself allows. */
const quoted = (text: string): string =>
  JSON.stringify(text).replace(
    /[\u0085\u2028\u2029]/g,
    (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );

class Writer {
  private readonly parts: string[] = [];
  private readonly budget: Budget;

  constructor(budget: Budget) {
    this.budget = budget;
  }

  private add(part: string): void {
    this.budget.spend(part.length);
    this.parts.push(part);
  }

  private items(open: string, close: string, indent: string, each: (() => void)[]): void {
    if (each.length === 0) {
      this.add(open + close);
      return;
    }
    this.add(open);
    each.forEach((write, i) => {
      this.add(`${i === 0 ? '' : ','}\n${indent}  `);
      write();
    });
    this.add(`\n${indent}${close}`);
  }

  write(value: Json, depth: number): void {
    if (depth > VALUE_DEPTH) {
      throw new EvaluationError('too_deep', `toJSON(): nested deeper than ${VALUE_DEPTH}`);
    }
    const indent = '  '.repeat(depth);
    if (Array.isArray(value)) {
      const each = value.map((item) => () => this.write(item, depth + 1));
      this.items('[', ']', indent, each);
    } else if (isObject(value)) {
      const each = Object.entries(value).map(([key, item]) => () => {
        this.add(`${quoted(key)}: `);
        this.write(item, depth + 1);
      });
      this.items('{', '}', indent, each);
    } else if (typeof value === 'string') {
      this.add(quoted(value));
    } else {
      this.add(value === null ? 'null' : toText(value));
    }
  }

  text(): string {
    return this.parts.join('');
  }
}

export function toJson(value: Json, budget: Budget): string {
  const writer = new Writer(budget);
  writer.write(value, 0);
  return writer.text();
}

/** Refuses nesting before anything is built: brackets outside of texts are counted. */
function assertShallow(text: string): void {
  let depth = 0;
  let inText = false;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (inText) {
      if (unit === 0x5c) i++;
      else if (unit === 0x22) inText = false;
    } else if (unit === 0x22) {
      inText = true;
    } else if (unit === 0x5b || unit === 0x7b) {
      if (++depth > JSON_DEPTH) {
        throw new EvaluationError('too_deep', `fromJSON(): nested deeper than ${JSON_DEPTH}`);
      }
    } else if (unit === 0x5d || unit === 0x7d) {
      depth--;
    }
  }
}

export function fromJson(text: string, budget: Budget): Json {
  budget.spend(text.length);
  if (text.trim() === '') {
    throw new EvaluationError('invalid_json', 'fromJSON(): the value is empty');
  }
  assertShallow(text);
  try {
    return JSON.parse(text) as Json;
  } catch (error) {
    const value = fromLooseJson(text, budget);
    if (value !== undefined) return value;
    const position = /at position (\d+)/.exec(error instanceof Error ? error.message : '')?.[1];
    const where = position === undefined ? '' : ` (character ${Number(position) + 1})`;
    throw new EvaluationError('invalid_json', `fromJSON(): the value is not valid JSON${where}`);
  }
}

/**
 * What GitHub's JSON reader (Newtonsoft's) takes beyond JSON: single quotes, keys without quotes,
 * commas at the end, comments. undefined: it is not that either.
 */
function fromLooseJson(text: string, budget: Budget): Json | undefined {
  budget.spend(text.length * LOOSE_JSON_COST);
  let value: Json;
  try {
    value = JSON5.parse<Json>(text);
  } catch {
    return undefined;
  }
  assertShallowValue(value);
  return value;
}

function assertShallowValue(value: Json): void {
  const containers = (values: Json[]) =>
    values.filter((one) => typeof one === 'object' && one !== null);
  let level = containers([value]);
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > JSON_DEPTH) {
      throw new EvaluationError('too_deep', `fromJSON(): nested deeper than ${JSON_DEPTH}`);
    }
    level = containers(level.flatMap((one) => Object.values(one as JsonObject)));
  }
}
