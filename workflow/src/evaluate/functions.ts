/**
 * The functions every expression has: contains, startsWith, endsWith, format, join, toJSON,
 * fromJSON and case. Status functions and hashFiles know their surroundings and come with the
 * scope.
 *
 * Arguments are evaluated before the call. Rules: "Evaluate expressions in workflows and actions"
 * (Functions).
 */
import type { Json } from '@onejob/protocol';
import type { Budget } from './budget.ts';
import { EvaluationError } from './error.ts';
import { fromJson, toJson } from './json.ts';
import { foldCase, isEqual, isPrimitive, toText } from './values.ts';

type BuiltIn = {
  minArguments: number;
  maxArguments: number;
  call: (args: Json[], budget: Budget) => Json;
};

/** Texts put together, paid for while they grow. */
class PaidText {
  private readonly parts: string[] = [];
  private readonly budget: Budget;

  constructor(budget: Budget) {
    this.budget = budget;
  }

  add(part: string): void {
    this.budget.spend(part.length);
    this.parts.push(part);
  }

  text(): string {
    return this.parts.join('');
  }
}

function contains(search: Json, item: Json, budget: Budget): boolean {
  if (Array.isArray(search)) {
    budget.spend(search.length);
    return search.some((candidate) => isEqual(item, candidate));
  }
  if (!isPrimitive(search) || !isPrimitive(item)) return false;
  const text = toText(search);
  budget.spend(text.length);
  return foldCase(text).includes(foldCase(toText(item)));
}

const INVALID_FORMAT =
  'format(): the format string is invalid; braces are written {{ and }}, arguments {0}';

function nextBrace(pattern: string, from: number): number {
  const brace = /[{}]/g;
  brace.lastIndex = from;
  return brace.exec(pattern)?.index ?? -1;
}

/** `{0}` is the first argument, `{{` and `}}` are braces; anything else between braces is an error. */
function format(args: Json[], budget: Budget): string {
  const pattern = toText(args[0] ?? null);
  const result = new PaidText(budget);
  let rest = 0;
  while (rest < pattern.length) {
    const at = nextBrace(pattern, rest);
    if (at < 0) {
      result.add(pattern.slice(rest));
      break;
    }
    if (pattern[at + 1] === pattern[at]) {
      result.add(pattern.slice(rest, at + 1));
      rest = at + 2;
      continue;
    }
    const close = pattern.indexOf('}', at);
    const index = pattern[at] === '{' && close > 0 ? pattern.slice(at + 1, close) : '';
    if (!/^\d+$/.test(index)) throw new EvaluationError('invalid_format', INVALID_FORMAT);
    if (Number(index) + 1 >= args.length) {
      throw new EvaluationError(
        'invalid_format',
        `format(): {${index}} is asked for, but only ${args.length - 1} values were supplied`,
      );
    }
    result.add(pattern.slice(rest, at));
    result.add(toText(args[Number(index) + 1] ?? null));
    rest = close + 1;
  }
  return result.text();
}

function join(items: Json, separator: Json, budget: Budget): string {
  if (isPrimitive(items)) return toText(items);
  if (!Array.isArray(items)) return '';
  const between = isPrimitive(separator) ? toText(separator) : ',';
  const result = new PaidText(budget);
  items.forEach((item, i) => {
    if (i > 0) result.add(between);
    result.add(toText(item));
  });
  return result.text();
}

function choose(args: Json[]): Json {
  for (let i = 0; i + 1 < args.length; i += 2) {
    const predicate = args[i];
    if (typeof predicate !== 'boolean') {
      throw new EvaluationError(
        'wrong_arguments',
        'case(): predicate must evaluate to a boolean value',
      );
    }
    if (predicate) return args[i + 1] ?? null;
  }
  return args.at(-1) ?? null;
}

/** Folding keeps the length, so only the end in question is folded. */
function edge(method: 'startsWith' | 'endsWith', args: Json[], budget: Budget): boolean {
  const [search = null, item = null] = args;
  if (!isPrimitive(search) || !isPrimitive(item)) return false;
  const [text, value] = [toText(search), toText(item)];
  if (value.length > text.length) return false;
  budget.spend(value.length);
  const end =
    method === 'startsWith' ? text.slice(0, value.length) : text.slice(text.length - value.length);
  return foldCase(end) === foldCase(value);
}

const builtIn = (minArguments: number, maxArguments: number, call: BuiltIn['call']): BuiltIn => ({
  minArguments,
  maxArguments,
  call,
});

/** By name in lower case. */
export const BUILT_INS: ReadonlyMap<string, BuiltIn> = new Map<string, BuiltIn>([
  ['case', builtIn(3, 255, choose)],
  ['contains', builtIn(2, 2, ([s = null, i = null], budget) => contains(s, i, budget))],
  ['endswith', builtIn(2, 2, (args, budget) => edge('endsWith', args, budget))],
  ['format', builtIn(1, 255, format)],
  ['fromjson', builtIn(1, 1, ([value = null], budget) => fromJson(toText(value), budget))],
  ['join', builtIn(1, 2, ([items = null, by = ','], budget) => join(items, by, budget))],
  ['startswith', builtIn(2, 2, (args, budget) => edge('startsWith', args, budget))],
  ['tojson', builtIn(1, 1, ([value = null], budget) => toJson(value, budget))],
]);
